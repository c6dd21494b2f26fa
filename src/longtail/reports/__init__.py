"""What comes out of runs: the HTML page, the terminal table and the run card.

Reports are made from run folders and nothing else.
"""

from longtail.reports.card import card_text, write_card
from longtail.reports.compare import Comparison, Difference, Standing, compare_runs
from longtail.reports.page import write_report
from longtail.reports.runs import Predictions, RunFiles, read_run
from longtail.reports.text import comparison_text, difference_text, leaderboard, leaderboard_text

__all__ = [
    "Comparison",
    "Difference",
    "Predictions",
    "RunFiles",
    "Standing",
    "card_text",
    "compare_runs",
    "comparison_text",
    "difference_text",
    "leaderboard",
    "leaderboard_text",
    "read_run",
    "write_card",
    "write_report",
]
