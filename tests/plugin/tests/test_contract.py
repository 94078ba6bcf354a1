from harvester.testing import *  # noqa: F403
