"""What a faithful sync service must do, item by item, and the tests that prove it."""

import ast
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests import feature_service

_HERE = Path(__file__).parent
_README = Path(feature_service.__file__).with_name("README.md")


@dataclass(frozen=True, slots=True)
class Item:
    """One demand, and the names of the tests that fail when it is not met."""

    number: int
    demand: str
    tests: tuple[str, ...]


CHECKLIST = (
    Item(
        1,
        "parameter names in any case, lists as commas, JSON, single-quoted or repeated",
        (
            "test_parameters_when_spelled_oddly_then_understood",
            "test_items_when_spelled_in_any_way_then_the_same",
            "test_items_when_repeated_then_joined",
            "test_json_when_single_quoted_then_read",
            "test_flag_when_spelled_in_any_way_then_read",
        ),
    ),
    Item(1, "ids with or without braces", ("test_replica_id_when_spelled_in_any_way_then_known",)),
    Item(
        2,
        "every application error is an HTTP 200; 498 and 499 are in the body",
        (
            "test_path_when_unknown_then_error_in_the_body",
            "test_call_when_no_token_then_499",
            "test_token_when_presented_then_let_in_until_it_expires",
            "test_error_when_bare_then_all_in_the_details",
        ),
    ),
    Item(2, "HTML when `f` is absent", ("test_answer_when_f_is_absent_then_html",)),
    Item(
        3,
        "both sync models, each may be the only one; the other is a 400 in the body",
        (
            "test_sync_when_per_replica_then_one_generation",
            "test_sync_when_per_layer_direction_given_then_it_wins",
            "test_sync_model_when_not_offered_then_refused",
        ),
    ),
    Item(
        4,
        "embedded transport and transport by URL",
        (
            "test_create_replica_when_embedded_then_holds_rows_and_generations",
            "test_create_replica_when_by_url_then_file_holds_the_same",
        ),
    ),
    Item(
        4,
        "result files go after ten idle minutes",
        (
            "test_result_file_when_idle_too_long_then_gone",
            "test_result_when_expired_then_404",
        ),
    ),
    Item(
        4,
        "result files on another origin that refuses tokens",
        ("test_results_when_on_another_origin_then_no_token_is_welcome",),
    ),
    Item(5, "jobs walk through statuses", ("test_job_when_polled_then_walks_to_completed",)),
    Item(
        5,
        "`Completed` once with an empty `resultUrl`; statuses spelled otherwise",
        ("test_job_when_statuses_are_spelled_otherwise_then_url_comes_late",),
    ),
    Item(5, "`CompletedWithErrors`", ("test_job_when_an_edit_failed_then_completed_with_errors",)),
    Item(5, "`Failed` with an error", ("test_job_when_failed_then_nothing_is_applied",)),
    Item(
        6,
        "one counter of generations; downloads are repeatable",
        (
            "test_sync_when_server_changed_then_delta_is_repeatable",
            "test_delta_when_asked_from_every_generation_then_all_lead_to_now",
            "test_sync_when_upload_only_then_no_generation_moves",
        ),
    ),
    Item(
        6,
        "`minServerGen` moves by a clean-up; older generations are an error",
        (
            "test_cleanup_when_owner_asks_then_old_generations_are_refused",
            "test_generation_when_overtaken_then_only_a_snapshot_helps",
        ),
    ),
    Item(
        7,
        "own edits echoed or not",
        (
            "test_sync_when_edits_sent_then_applied_and_not_echoed",
            "test_sync_when_profile_echoes_then_own_edits_come_back",
        ),
    ),
    Item(
        7,
        "a repeated add fails, is ignored, or updates",
        (
            "test_sync_when_add_repeated_then_fails_with_1022",
            "test_repeated_add_when_tolerated_then_succeeds",
        ),
    ),
    Item(
        7,
        "`deleteIds` or `deletes`, GlobalIDs or ObjectIDs",
        (
            "test_names_when_switched_then_spelled_so",
            "test_deletes_when_they_hold_object_ids_then_numbers",
        ),
    ),
    Item(7, "spelling of GUIDs", ("test_guids_when_spelled_as_the_profile_says_then_all_alike",)),
    Item(7, "place of the results", ("test_results_when_placed_elsewhere_then_there",)),
    Item(7, "10xx codes or HRESULTs", ("test_errors_when_hresult_then_negative",)),
    Item(7, "`URL`, `responseUrl`, `resultUrl`", ("test_url_when_named_otherwise_then_there",)),
    Item(
        7,
        "attachments by URL or as base64, the pairs of the direction table",
        (
            "test_attachments_when_synced_then_have_generations_of_their_own",
            "test_create_replica_when_attachments_are_wanted_embedded_then_by_either_name",
            "test_create_replica_when_unclear_then_error",
        ),
    ),
    Item(
        7,
        "a perLayer sync of some of the layers",
        ("test_sync_when_some_layers_are_left_out_then_they_stay_where_they_were",),
    ),
    Item(
        8,
        "a connection dropped after the commit and before the answer",
        ("test_drop_when_sync_is_struck_then_commits_or_not",),
    ),
    Item(8, "a POST delivered twice", ("test_duplicate_when_struck_then_second_answer_is_given",)),
    Item(
        8, "tokens expire in mid-job", ("test_token_when_expired_by_a_fault_in_mid_job_then_498",)
    ),
    Item(8, "429, 500 and 503", ("test_status_when_struck_then_answered_once",)),
    Item(
        8,
        "a truncated or corrupt result file",
        ("test_result_when_damaged_then_it_is_not_json_but_complete",),
    ),
    Item(8, "a replica unregistered", ("test_replica_when_unregistered_then_sync_fails",)),
    Item(
        8,
        "the schema changes",
        (
            "test_schema_when_changed_then_resource_and_rows_follow",
            "test_domain_when_changed_then_old_values_are_refused",
        ),
    ),
    Item(
        9,
        "scope: geometry, where and related rows",
        (
            "test_create_replica_when_filtered_then_related_rows_follow",
            "test_replica_when_many_to_many_then_related_rows_and_links_follow",
        ),
    ),
    Item(
        9,
        "rows that enter or leave it",
        (
            "test_sync_when_row_enters_the_filter_then_add_is_sent",
            "test_sync_when_row_leaves_the_filter_then_delete_is_sent",
            "test_row_when_it_leaves_the_filter_then_told_otherwise",
            "test_deltas_when_others_edit_then_copy_equals_snapshot",
        ),
    ),
    Item(
        10, "the server writes the editor tracking fields", ("test_add_when_edited_then_tracked",)
    ),
    Item(
        10,
        "read-only and non-nullable fields, domains, lengths",
        (
            "test_edit_when_value_is_not_allowed_then_refused",
            "test_domains_when_not_validated_then_any_value",
        ),
    ),
    Item(
        10,
        "z and m are checked",
        (
            "test_geometry_when_layer_has_z_or_m_then_points_need_them",
            "test_edit_when_geometry_does_not_fit_then_refused",
        ),
    ),
    Item(
        10,
        "coordinates are snapped, edits in another reference moved",
        (
            "test_edit_when_geometry_is_in_degrees_then_moved_and_snapped",
            "test_coordinates_when_not_snapped_then_whole",
            "test_sync_when_replica_is_in_degrees_then_both_ways_in_degrees",
        ),
    ),
    Item(
        10,
        "the server gives the ObjectIDs",
        (
            "test_add_when_plain_then_server_makes_the_ids",
            "test_adds_when_ids_are_null_then_service_makes_them",
        ),
    ),
)


def table() -> str:
    """The checklist as README.md shows it."""
    rows = ["| | a faithful service | proven by |", "|---|---|---|"]
    for item in CHECKLIST:
        named = ", ".join(f"`{name.removeprefix('test_')}`" for name in item.tests)
        rows.append(f"| {item.number} | {item.demand} | {named} |")
    return "\n".join(rows) + "\n"


@cache
def _defined() -> Counter[str]:
    """The test functions of this package, and how often each name is there."""
    trees = (ast.parse(file.read_text(encoding="utf-8")) for file in _HERE.glob("test_*.py"))
    return Counter(
        node.name
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@pytest.mark.parametrize("name", sorted({name for item in CHECKLIST for name in item.tests}))
def test_checklist_when_it_names_a_test_then_there_is_one(name: str) -> None:
    assert _defined()[name] == 1


def test_checklist_when_read_then_has_every_number() -> None:
    assert sorted({item.number for item in CHECKLIST}) == list(range(1, 11))


def test_readme_when_read_then_shows_the_checklist() -> None:
    assert table() in _README.read_text(encoding="utf-8"), f"README.md wants:\n{table()}"
