from stream.replies import ReplyLine
from tests.fakes import FakeDirector


def test_first_replies_keep_the_order_of_commands() -> None:
    """A first reply waits for those of the commands before it, whenever it was known."""
    director = FakeDirector()
    line = ReplyLine(director)
    first, second, third = (line.take_turn(number) for number in range(3))
    third.settle({"type": "c"})
    second.settle({"type": "b"}, pts=9)
    assert director.messages == []
    first.settle({"type": "a"})
    assert director.messages == [{"type": "a"}, {"type": "b", "rtp_timestamp": 16}, {"type": "c"}]


def test_a_turn_that_steps_aside_is_passed_and_still_answered() -> None:
    """Replies behind a command that waits for its client go out; its own comes when it is known."""
    director = FakeDirector()
    line = ReplyLine(director)
    upload, ping, other = line.take_turn(1), line.take_turn(2), line.take_turn(3)
    ping.settle({"id": 2})
    upload.step_aside()
    other.settle({"id": 3})
    upload.settle({"id": 1})
    assert [m["id"] for m in director.messages] == [2, 3, 1]


def test_a_later_reply_waits_for_its_first_alone() -> None:
    """What follows a first reply is sent after it, and once that is out, at once."""
    director = FakeDirector()
    line = ReplyLine(director)
    slow, quick = line.take_turn(1), line.take_turn(2)
    quick.follow({"type": "b-applied"})
    quick.settle({"type": "b"})
    slow.settle({"type": "a"})
    slow.follow({"type": "a-applied"}, pts=0)
    kinds = [message["type"] for message in director.messages]
    assert sorted(kinds) == sorted(["a", "b", "b-applied", "a-applied"])
    assert kinds.index("a") < kinds.index("b") < kinds.index("b-applied")
    assert kinds[-1] == "a-applied"


def test_only_the_first_settling_counts() -> None:
    """A turn that is settled twice replies once; one without a first reply holds up nobody."""
    director = FakeDirector()
    line = ReplyLine(director)
    line.take_turn(1).settle(None)
    turn = line.take_turn(2)
    turn.settle({"type": "a"})
    turn.settle({"type": "b"})
    assert director.messages == [{"type": "a"}]


def test_a_closed_line_says_nothing() -> None:
    """After a director left, what was known and what comes is dropped."""
    director = FakeDirector()
    line = ReplyLine(director)
    line.take_turn(1)
    turn = line.take_turn(2)
    turn.settle({"type": "a"})
    line.close()
    turn.follow({"type": "b"})
    line.send({"type": "c"})
    assert director.messages == []


def test_open_turns_can_all_be_settled() -> None:
    """Settling all gives each open turn a reply with its own id, in order."""
    director = FakeDirector()
    line = ReplyLine(director)
    line.take_turn(4)
    line.take_turn(5).settle({"type": "known"})
    line.take_turn(None)
    line.settle_all(lambda message_id: {"type": "gone", "id": message_id})
    assert director.messages == [{"type": "gone", "id": 4}, {"type": "known"}, {"type": "gone", "id": None}]
