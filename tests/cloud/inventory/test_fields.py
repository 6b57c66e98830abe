import pytest

from cloud.inventory.fields import Consent, Invalid, read_customer, read_device, read_site


def test_an_entry_is_trimmed_and_its_tags_are_put_in_order() -> None:
    entry = read_device(
        {"device": " pump-07 ", "customer": " Acme ", "tags": "Outdoor, cold;cold", "consent": "FINDINGS"}
    )
    assert (entry.device, entry.customer, entry.tags) == ("pump-07", "Acme", "cold outdoor")
    assert entry.consent is Consent.FINDINGS


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"device": "pump 7"}, "device", "“pump 7” is no device name. Use 1 to 64"),
        ({"device": "a", "site": "Harbour"}, "customer", "Site “Harbour” has no customer. Name the customer"),
        ({"device": "a", "consent": "perhaps"}, "consent", "“perhaps” is not known. Use one of: unknown, none"),
        ({"device": "a", "tags": "cold <b>"}, "tags", "Tag “<b>” cannot be used. Use 1 to 40 letters"),
        ({"device": "a", "owner": "x" * 201}, "owner", "is 201 characters long. Use at most 200"),
        ({"device": "a", "note": "a\x00b"}, "note", "control character. Remove it"),
    ],
)
def test_a_problem_names_the_value_and_the_remedy(given: dict[str, str], field: str, says: str) -> None:
    with pytest.raises(Invalid) as raised:
        read_device(given)
    assert list(raised.value.problems) == [field]
    assert says in raised.value.problems[field]


def test_all_problems_are_found_at_once() -> None:
    with pytest.raises(Invalid) as raised:
        read_site({"zone": "Mars/Olympus"})
    assert list(raised.value.problems) == ["name", "customer", "zone"]
    with pytest.raises(Invalid, match="Enter the customer's name"):
        read_customer({"name": "  "})
