"""The case service: carries out the decisions of the pure rules in `cloud.cases`, in the transaction it is given.

What flows in: findings and evidence in the order of their numbers, the passing of time, and what people want.
What flows out: changed episodes and cases, for each change a line of the case's timeline, and a call of each follower,
all in the same transaction.
"""

from cloud.case_service.case_writer import SYSTEM as SYSTEM
from cloud.case_service.followers import CaseChange as CaseChange
from cloud.case_service.followers import CaseFollower as CaseFollower
from cloud.case_service.service import CaseService as CaseService
