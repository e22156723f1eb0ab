"""Which credentials a verb uses: those of ``--credentials``, else those of the environment."""

import os
from argparse import Namespace

from engine import ArcGISCredentialStore


def credentials(options: Namespace) -> ArcGISCredentialStore:
    """The credentials that were given; an empty store if there are none."""
    if options.credentials is not None:
        return ArcGISCredentialStore.from_file(options.credentials)
    return ArcGISCredentialStore.from_environment(os.environ)
