"""What the doctor finds: one line for each thing that it looked at."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing, how it is, and what to do where it is not well.

    >>> print(Finding("fail", "http port", "8080 is taken", "server.port=8081"))
    fail  http port: 8080 is taken. Do: server.port=8081
    """

    verdict: Verdict
    subject: str
    found: str
    fix: str = ""

    def __str__(self) -> str:
        fix = f". Do: {self.fix}" if self.fix else ""
        return f"{self.verdict:<4}  {self.subject}: {self.found}{fix}"
