"""Reports as one page to pass on: how good a method is at hidden stations, and quality control."""

from aqreanalysis.report.completeness import completeness
from aqreanalysis.report.page import check_report_target
from aqreanalysis.report.quality import write_quality_report
from aqreanalysis.report.writing import verify_and_report, write_report

__all__ = [
    "check_report_target",
    "completeness",
    "verify_and_report",
    "write_quality_report",
    "write_report",
]
