"""The report on how good a method is at stations that it did not see, as one page to pass on."""

from aqreanalysis.report.writing import check_report_target, verify_and_report, write_report

__all__ = ["check_report_target", "verify_and_report", "write_report"]
