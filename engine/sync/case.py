"""One edit of a batch whose outcome is being found out."""

from collections.abc import Iterable
from dataclasses import dataclass

from engine.geodatabase.change_log import Edit
from engine.geodatabase.difference import Row
from engine.geodatabase.layer_table import LayerTable
from engine.model import EditOperation
from engine.sync.channels import EditAnswer
from engine.sync.results import EditError

NOT_APPLIED = "not-applied"
"""The quarantine's code for an edit that the service neither took nor refused."""

Key = tuple[int, str]  # (table number, GlobalID as it was sent)


@dataclass(slots=True)
class Case:
    """One edit of the batch: what was said of it, and whether the service has its row now."""

    edit: Edit
    answer: EditAnswer | None
    global_id: str  # the service's, which may not be the one that was sent
    is_there: bool = False
    is_renamed: bool = False  # it was found under a GlobalID that nobody told
    is_as_sent: bool = False  # of an attachment: its bytes are proven to be ours
    changed: Row | None = None  # of an attachment: as it is there, if somebody else has replaced it
    is_doubted: bool = False  # it may have been there before, in another version: a yes says little
    is_passed_over: bool = False  # the call was answered, and nothing was said of this edit

    @property
    def is_acknowledged(self) -> bool:
        if self.is_renamed:
            return True
        if self.answer is None or not self.answer.success or self.is_doubted:
            return False
        # Some services take an update of a row they no longer have, and do nothing.
        return self.is_there or self.edit.operation is not EditOperation.UPDATE

    @property
    def is_refused(self) -> bool:
        """The service said no, and it did not say so because its row is as we want it already."""
        if self.answer is None or self.answer.success:
            return False
        return self.is_there is not (self.edit.operation is EditOperation.ADD)

    @property
    def is_deleted(self) -> bool:
        """This edit, or somebody else's, has deleted the row on the service."""
        is_delete = self.edit.operation is EditOperation.DELETE
        return is_delete and (self.is_acknowledged or not self.is_there)

    @property
    def code(self) -> int | str | None:
        """Why it is set aside, for the quarantine."""
        return NOT_APPLIED if self.answer is None else self.answer.code

    @property
    def refusal(self) -> EditError:
        """Why it is set aside, for the result."""
        if self.answer is None:
            reason = "the service took the call, says nothing of this edit, and does not have it"
            return EditError(code=None, description=reason)
        return EditError(code=self.answer.code, description=self.answer.description)


def key_of(edit: Edit) -> Key:
    """What an edit is known by: its table's number and its GlobalID."""
    return edit.table.number, edit.global_id


def by_table(cases: Iterable[Case]) -> list[tuple[LayerTable, list[Case]]]:
    """The cases of each table, in the order in which the tables first come."""
    grouped: dict[int, tuple[LayerTable, list[Case]]] = {}
    for case in cases:
        grouped.setdefault(case.edit.table.number, (case.edit.table, []))[1].append(case)
    return list(grouped.values())
