"""The console with Bob in it, as its own tests have it."""

from tests.cloud.web.conftest import app as app
from tests.cloud.web.conftest import bob as bob
from tests.cloud.web.conftest import case_service as case_service
from tests.cloud.web.conftest import change_signal as change_signal
from tests.cloud.web.conftest import hashed_accounts as hashed_accounts
from tests.cloud.web.conftest import numbers as numbers
from tests.cloud.web.conftest import staffed as staffed
