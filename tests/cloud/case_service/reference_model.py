"""A reference model of episodes, cases, silences and staff actions: the rules again, small and without a store.

Written from the issue, not from the code: plain loops over everything, whole seconds, two severities, faults that
do not explain each other and devices that have nothing in common (problems and explanations have tests of their own).
"""

from dataclasses import dataclass, field

DEBOUNCE, HOLD_DOWN, REOPEN = 5, 300, 86400
WORKING, DONE = ("new", "open", "pending_reminder"), ("closed", "merged")
CURED = ("true_fault", "no_fault_found")


@dataclass(eq=False)
class ModelCase:
    """A case; its number is its place in the list, from 1."""

    number: int
    device: str
    critical: bool
    state: str = "new"
    owner: str | None = None
    first_owner: str | None = None
    label: str | None = None
    reminder: int = 0
    into: "ModelCase | None" = None
    moved: "list[ModelEpisode]" = field(default_factory=list)


@dataclass(eq=False)
class ModelEpisode:
    """An episode."""

    device: str
    fault: str
    first: int
    critical: bool
    state: str = "pending"
    cleared: int | None = None
    resolved: int = 0
    case: ModelCase | None = None


@dataclass(eq=False)
class ModelSilence:
    """A silence of one device."""

    device: str
    begins: int
    ends: int


class ReferenceModel:
    """What must be true after each step. A staff action that makes no sense returns False and changes nothing."""

    def __init__(self) -> None:
        self.now = 0
        self.cases: list[ModelCase] = []
        self.episodes: list[ModelEpisode] = []
        self.silences: list[ModelSilence] = []

    def report(self, device: str, fault: str, critical: bool) -> None:
        """A device reports a fault."""
        episode = self._unresolved(device, fault)
        if episode is None:
            episode = ModelEpisode(device, fault, self.now, critical)
            self.episodes.append(episode)
            self._fire(episode)
            return
        changed = episode.cleared is not None or (critical and not episode.critical)
        episode.cleared, episode.critical = None, episode.critical or critical
        if not self._fire(episode) and changed:
            self._follow(episode.case)

    def clear(self, device: str, fault: str) -> None:
        """A device reports that a fault is over."""
        episode = self._unresolved(device, fault)
        if episode is None:
            return
        self._fire(episode)
        if episode.cleared is None:
            episode.cleared = self.now
            self._follow(episode.case)

    def pass_time(self, seconds: int) -> None:
        """The clock goes on, and ticks once."""
        self.now += seconds
        for episode in list(self.episodes):
            self._pass(episode)
        for case in self.cases:
            if case.state == "pending_reminder" and case.reminder <= self.now:
                self._wake(case)

    def take(self, case: ModelCase, who: str) -> bool:
        """A person takes a case."""
        if case.state in DONE or case.owner not in (None, who):
            return False
        if case.owner is None:
            case.owner, case.state = who, "open" if case.state == "new" else case.state
        return True

    def release(self, case: ModelCase) -> bool:
        """A person puts a case back."""
        if case.state in DONE or case.owner is None:
            return False
        case.owner, case.state = None, case.state if case.state == "pending_close" else "new"
        return True

    def hand_over(self, case: ModelCase, to: str) -> bool:
        """A person gives a case to another one."""
        if case.state in DONE or case.owner in (None, to):
            return False
        case.first_owner, case.owner = case.first_owner or case.owner, to
        return True

    def close(self, case: ModelCase, label: str) -> bool:
        """A person closes a case."""
        if case.state in DONE:
            return False
        case.state, case.label, case.first_owner = "closed", label, None
        return True

    def reopen(self, case: ModelCase) -> bool:
        """A person opens a case again."""
        if case.state in WORKING or case.state == "merged":
            return False
        self._wake(case)
        return True

    def snooze(self, case: ModelCase, who: str, seconds: int) -> bool:
        """A person puts a case off."""
        if case.state not in WORKING:
            return False
        case.owner, case.state, case.reminder = case.owner or who, "pending_reminder", self.now + seconds
        return True

    def merge(self, case: ModelCase, into: ModelCase) -> bool:
        """A person continues a case in another one."""
        if case is into or case.state in DONE or into.state in DONE or case.device != into.device:
            return False
        if into.state == "pending_reminder" or case.state in WORKING:
            self._wake(into)
        case.state, case.into = "merged", into
        case.moved = [episode for episode in self.episodes if episode.case is case]
        for episode in case.moved:
            episode.case = into
        self._follow(into)
        return True

    def unmerge(self, case: ModelCase) -> bool:
        """A person takes a merge back."""
        into = case.into
        if case.state != "merged" or into is None or into.state == "merged":
            return False
        self._wake(case)
        case.into = None
        for episode in case.moved:
            episode.case = case
        self._follow(case)
        self._follow(into)
        return True

    def silence(self, device: str, seconds: int) -> None:
        """A person silences a device."""
        self.silences.append(ModelSilence(device, self.now, self.now + seconds))

    def end_silence(self, number: int) -> bool:
        """A person ends a silence before its time."""
        silence = self.silences[number]
        if silence.ends <= self.now:
            return False
        silence.ends = self.now
        return True

    def _unresolved(self, device: str, fault: str) -> ModelEpisode | None:
        """The episode that goes on, after what time did to it."""
        for episode in self.episodes:
            if (episode.device, episode.fault) == (device, fault) and episode.state != "resolved":
                self._pass(episode)
                return episode if episode.state != "resolved" else None
        return None

    def _pass(self, episode: ModelEpisode) -> None:
        if episode.state != "resolved" and episode.cleared is not None and self.now >= episode.cleared + HOLD_DOWN:
            episode.state, episode.resolved = "resolved", episode.cleared + HOLD_DOWN
            self._follow(episode.case)
        self._fire(episode)

    def _fire(self, episode: ModelEpisode) -> bool:
        lasted = episode.critical or self.now - episode.first >= DEBOUNCE
        if episode.state != "pending" or episode.cleared is not None or not lasted:
            return False
        if any(each.device == episode.device and each.begins <= self.now < each.ends for each in self.silences):
            return False
        episode.state = "firing"
        case = self._case_for(episode)
        if case is None:
            case = ModelCase(len(self.cases) + 1, episode.device, episode.critical)
            self.cases.append(case)
        elif case.state not in WORKING or (episode.critical and case.state == "pending_reminder"):
            self._wake(case)
        episode.case = case
        self._follow(case)
        return True

    def _case_for(self, episode: ModelEpisode) -> ModelCase | None:
        before = [
            (each.resolved, each.case.number, each.case)
            for each in self.episodes
            if (each.device, each.fault, each.state) == (episode.device, episode.fault, "resolved")
            and each.case is not None
            and each.resolved >= episode.first - REOPEN
        ]
        if before:
            own = max(before, key=lambda item: item[:2])[2]
            if own.state not in DONE or own.label in CURED:
                return own
        working = [case for case in self.cases if case.device == episode.device and case.state in WORKING]
        return working[-1] if working else None

    def _follow(self, case: ModelCase | None) -> None:
        if case is None:
            return
        firing = [each for each in self.episodes if each.case is case and each.state == "firing"]
        if not firing:
            case.state = "pending_close" if case.state in WORKING else case.state
            return
        critical = any(each.critical for each in firing)
        escalated = critical and not case.critical
        if case.state in DONE and not escalated:
            return
        case.critical = critical
        if case.state in DONE or (escalated and case.state == "pending_reminder"):
            self._wake(case)

    def _wake(self, case: ModelCase) -> None:
        case.state, case.label = "open" if case.owner else "new", None
