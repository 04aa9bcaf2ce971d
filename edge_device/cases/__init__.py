"""Cases: which slide the next field belongs to, how a case opens and closes, and how a field moves; see `desk`."""

from edge_device.cases.book import By, ClosedCase, OpenCase
from edge_device.cases.case_ids import CaseIdError, case_of_folder, check_case_id
from edge_device.cases.codes import CodeKind, CodeRead, read_code
from edge_device.cases.desk import Assigned, CaseDesk, CaseError
from edge_device.cases.refiling import Refiling
from edge_device.cases.settings import CaseSettings

__all__ = [
    "Assigned",
    "By",
    "CaseDesk",
    "CaseError",
    "CaseIdError",
    "CaseSettings",
    "ClosedCase",
    "CodeKind",
    "CodeRead",
    "OpenCase",
    "Refiling",
    "case_of_folder",
    "check_case_id",
    "read_code",
]
