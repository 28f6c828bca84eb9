import pytest

from accounts import normalised_email
from audiolift.errors import PermanentError


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("ann@example.com", "ann@example.com"),
        ("  Ann.Lee+mp3@Mail.EXAMPLE.com\n", "Ann.Lee+mp3@mail.example.com"),
        ("a@b.de", "a@b.de"),
        ("o'neil!#$%&*=?^_`{|}~-/@example.com", "o'neil!#$%&*=?^_`{|}~-/@example.com"),
        ("ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ("ann@example.xn--p1ai", "ann@example.xn--p1ai"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
        ("ann@" + "a" * 63 + ".com", "ann@" + "a" * 63 + ".com"),
        ("a@" + "b." * 125 + "de", "a@" + "b." * 125 + "de"),
    ],
)
def test_a_mail_address_is_kept_with_its_domain_in_lower_case(written: str, kept: str) -> None:
    assert normalised_email(written) == kept


@pytest.mark.parametrize(
    "written",
    [
        "",
        "ann",
        "@example.com",
        "ann@",
        "ann@localhost",
        "ann@@example.com",
        "ann@bob@example.com",
        ".ann@example.com",
        "ann.@example.com",
        "an..n@example.com",
        "an n@example.com",
        "ann@exa mple.com",
        "ann@-example.com",
        "ann@example-.com",
        "ann@example..com",
        "ann@example.com.",
        "ann@example.1",
        "ann@127.0.0.1",
        "ann@[127.0.0.1]",
        '"ann"@example.com',
        "ann:bob@example.com",
        "Ann <ann@example.com>",
        "ann@example.com\nbcc: bob@example.com",
        "ann\0@example.com",
        "a" * 65 + "@example.com",
        "ann@" + "a" * 64 + ".com",
        "a@" + "b." * 126 + "de",
    ],
)
def test_what_is_no_mail_address_is_refused(written: str) -> None:
    with pytest.raises(PermanentError) as refused:
        normalised_email(written)
    assert refused.value.code == "email_invalid"


@pytest.mark.parametrize("written", ["änn@example.com", "ann@bücher.example", "ann@ｅxample.com", "ann@\ud800.com"])
def test_a_mail_address_in_other_letters_is_refused_with_a_way_out(written: str) -> None:
    with pytest.raises(PermanentError) as refused:
        normalised_email(written)
    assert refused.value.code == "email_not_ascii"
    assert "xn--" in refused.value.sentence
