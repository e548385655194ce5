use super::decode::ESC;
use super::*;
use proptest::prelude::*;

#[track_caller]
fn check(terms: &str, bytes: &[u8], expected: &str) {
    assert_eq!(CharacterSet::from_value(terms.as_bytes()).decode(bytes, VR::PN), expected);
}

/// Read, and written as it was.
#[track_caller]
fn check_both(terms: &str, vr: VR, bytes: &[u8], text: &str) {
    let set = CharacterSet::from_value(terms.as_bytes());
    assert_eq!(set.decode(bytes, vr), text);
    assert_eq!(set.encode(text, vr).as_deref(), Some(bytes), "{text}");
    assert_eq!(set.terms(), terms);
}

#[test]
fn the_examples_of_the_standard_are_read_and_written() {
    // PS3.5 Annex H.3.1, H.3.2, I.2, J.1, J.2, J.3, K.2.
    let name = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B";
    check_both("\\ISO 2022 IR 87", VR::PN, name, "Yamada^Tarou=山田^太郎=やまだ^たろう");
    let name = b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J";
    check_both("ISO 2022 IR 13\\ISO 2022 IR 87", VR::PN, name, "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう");
    let name = b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf";
    check_both("\\ISO 2022 IR 149", VR::PN, name, "Hong^Gildong=洪^吉洞=홍^길동");
    let name = b"Wang^XiaoDong=\xe7\x8e\x8b^\xe5\xb0\x8f\xe6\x9d\xb1";
    check_both("ISO_IR 192", VR::PN, name, "Wang^XiaoDong=王^小東");
    check_both("GB18030", VR::PN, b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东");
    check_both("GBK", VR::PN, b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东");
    let name = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=";
    check_both("\\ISO 2022 IR 58", VR::PN, name, "Zhang^XiaoDong=张^小东=");
}

#[test]
fn each_line_of_long_text_begins_anew() {
    // PS3.5 Annex I.3 and K.3.
    let text =
        b"\x1b$)CThe 1st line includes \xb1\xe6\xb5\xbf.\r\nThe 2nd line does not.\r\n\x1b$)C\xb1\xe6\xb5\xbf ends.";
    let read = "The 1st line includes 길동.\r\nThe 2nd line does not.\r\n길동 ends.";
    let set = CharacterSet::from_value(b"\\ISO 2022 IR 149");
    assert_eq!(set.decode(text, VR::LT), read);
    let written =
        b"The 1st line includes \x1b$)C\xb1\xe6\xb5\xbf.\r\nThe 2nd line does not.\r\n\x1b$)C\xb1\xe6\xb5\xbf ends.";
    assert_eq!(set.encode(read, VR::LT).as_deref(), Some(&written[..]));
    check_both("\\ISO 2022 IR 58", VR::LT, b"1\x1b$)A\xd5\xc5\r\n2\x1b$)A\xd0\xa1\\\xb6\xab", "1张\r\n2小\\东");
}

#[test]
fn each_single_byte_set_has_its_upper_half() {
    for (number, byte, expected) in [
        (13, 0xB1, "ｱ"),
        (100, 0xE9, "é"),
        (101, 0xB1, "ą"),
        (109, 0xA1, "Ħ"),
        (110, 0xA2, "ĸ"),
        (126, 0xE1, "α"),
        (127, 0xC7, "ا"),
        (138, 0xE0, "א"),
        (144, 0xD0, "а"),
        (148, 0xF0, "ğ"),
        (166, 0xA1, "ก"),
        (203, 0xA4, "€"),
    ] {
        for term in [format!("ISO_IR {number}"), format!("ISO 2022 IR {number}"), format!("iso ir{number} ")] {
            check(&term, &[b'x', byte], &format!("x{expected}"));
            let written = CharacterSet::from_terms(&[&term]).encode(&format!("x{expected}"), VR::PN);
            assert_eq!(written, Some(vec![b'x', byte]));
        }
    }
}

#[test]
fn escapes_switch_sets_and_delimiters_switch_back() {
    let sets = "ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 159";
    check(sets, b"\xe9\x1b-L\xd0^\xe9", "éа^é");
    check(sets, b"\x1b-L\xd0\x1b-A\xe9", "аé");
    check(sets, b"\x1b-L\xd0\r\n\xe9", "а\r\né");
    check(sets, b"\x1b-L\xd0\\\xe9", "а\\é");
    check(sets, b"\x1b$(D0!\x1b(B^x", "丂^x");
    // In other than names `^` and `=` are characters like others.
    let text = CharacterSet::from_value(sets.as_bytes()).decode(b"\x1b-L\xd0=\xd0", VR::LO);
    assert_eq!(text, "а=а");
}

#[test]
fn a_backslash_byte_inside_a_character_is_no_delimiter() {
    check("GBK", b"\x96\x5c\xd2\xbb\\\xb6\xfe", "朶一\\二");
    check("GB18030", b"\x96\x5c\\\x81\x30\x81\x30", "朶\\\u{80}");
    check("ISO_IR 13", b"\x83\x5c\\A", "ソ\\A");
}

#[test]
fn extensions_declared_but_sent_without_escapes_are_read() {
    check("\\ISO 2022 IR 58", b"\xd5\xc5^\xd0\xa1", "张^小");
    check("ISO 2022 IR 58", b"\xd5\xc5", "张");
    check("\\ISO 2022 IR 149", b"\xc8\xab", "홍");
}

#[test]
fn what_is_not_declared_is_tried_as_utf_8_and_gb18030() {
    for terms in ["", "ISO_IR 6", "nonsense"] {
        check(terms, "张^三".as_bytes(), "张^三");
        check(terms, b"\xd5\xc5", "张");
        check(terms, b"plain", "plain");
        check(terms, b"a\xff", "a\u{FFFD}");
        // Cut at the length of its VR, padded or not.
        check(terms, b"\xe5\xbc\xa0\xe4\xb8", "张\u{FFFD}");
        check(terms, b"\xe5\xbc\xa0\xe4\xb8 ", "张\u{FFFD} ");
    }
}

#[test]
fn what_cannot_be_decoded_is_replaced() {
    check("ISO_IR 192", b"a\xffb", "a\u{FFFD}b");
    check("\\ISO 2022 IR 58", b"\x1b$)A\xd5", "\u{FFFD}");
    check("\\ISO 2022 IR 87", b"\x1b$B;", ";");
}

#[test]
fn text_outside_the_declared_sets_is_not_written() {
    for (terms, text) in [
        ("", "ä"),
        ("", "\u{1b}(B"),
        ("ISO_IR 100", "张"),
        ("ISO_IR 100", "\u{20ac}"),
        ("ISO_IR 148", "\u{2019}"),
        ("ISO_IR 166", "\u{2019}"),
        ("GBK", "\u{20bb7}"),
        ("ISO_IR 13", "~"),
        // Without code extensions there is no way to the second set, and IR 58 has no traditional characters.
        ("ISO 2022 IR 100\\ISO 2022 IR 144", "张"),
        ("\\ISO 2022 IR 58", "張"),
        ("\\ISO 2022 IR 149", "张"),
        ("\\ISO 2022 IR 159", "丂"),
    ] {
        assert_eq!(CharacterSet::from_value(terms.as_bytes()).encode(text, VR::PN), None, "{terms} {text}");
    }
}

#[test]
fn several_sets_are_mixed_in_one_text() {
    let sets = "ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 126";
    check_both(sets, VR::PN, b"J\xe9r\x1b-L\xd0\xd1^\xe9\x1b-F\xe1", "Jérаб^éα");
    let sets = "ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 58";
    check_both(sets, VR::LO, b"\xd4\x1b$B;3\x1b(JA\x1b$)A\xd5\xc5\\\xd4", "ﾔ山A张\\ﾔ");
}

#[test]
fn terms_are_written_in_the_spelling_of_the_standard() {
    for (given, expected) in [
        ("", ""),
        ("ISO_IR 6", ""),
        ("utf-8", "ISO_IR 192"),
        ("iso ir100", "ISO_IR 100"),
        ("gb18030 ", "GB18030"),
        ("ISO 2022 IR 6\\ISO 2022 IR 87", "\\ISO 2022 IR 87"),
        ("ISO_IR 100\\ISO_IR 144", "ISO 2022 IR 100\\ISO 2022 IR 144"),
        ("\\GB18030", "GB18030"),
    ] {
        assert_eq!(CharacterSet::from_value(given.as_bytes()).terms(), expected, "{given}");
    }
}

fn some_set() -> impl Strategy<Value = CharacterSet> {
    let numbers = [6, 13, 14, 42, 58, 87, 100, 101, 109, 110, 126, 127, 138, 144, 148, 149, 159, 166, 192, 203, 999];
    let term = prop::sample::select(numbers.to_vec()).prop_map(|number| format!("ISO 2022 IR {number}"));
    let term = prop_oneof![9 => term, 1 => Just("GB18030".to_owned()), 1 => Just("GBK".to_owned())];
    prop::collection::vec(term, 0..4)
        .prop_map(|terms| CharacterSet::from_terms(&terms.iter().map(String::as_str).collect::<Vec<_>>()))
}

proptest! {
    #[test]
    fn any_bytes_in_any_set_are_text(
        set in some_set(),
        bytes in prop::collection::vec(prop_oneof![Just(ESC), Just(b'$'), Just(b')'), any::<u8>()], 0..40),
    ) {
        for vr in [VR::PN, VR::LO, VR::LT] {
            let text = set.decode(&bytes, vr);
            prop_assert!(text.len() <= 3 * bytes.len());
            set.encode(&text, vr);
        }
        prop_assert_eq!(set.decode(b"ASCII^=", VR::LO), "ASCII^=");
    }

    #[test]
    fn what_is_written_reads_back(set in some_set(), text in "[a-z^=\\\\ \r\n~¥éßšаαאثกｱ张張山あ홍丂\u{20bb7}]{0,12}") {
        for vr in [VR::PN, VR::LO, VR::LT] {
            if let Some(bytes) = set.encode(&text, vr) {
                prop_assert!(bytes.len() <= 8 * text.len() + 4);
                prop_assert_eq!(set.decode(&bytes, vr), text.clone());
                let declared = CharacterSet::from_value(set.terms().as_bytes());
                prop_assert_eq!(declared.decode(&bytes, vr), text.clone());
            }
        }
        let bytes = CharacterSet::utf_8().encode(&text, VR::PN);
        prop_assert_eq!(bytes.as_deref(), Some(text.as_bytes()));
    }
}

#[test]
fn the_terms_of_the_standard_are_told() {
    let (without, with) = defined_terms();
    for term in ["ISO_IR 100", "ISO_IR 13", "ISO_IR 203", "ISO_IR 192", "GB18030", "GBK"] {
        assert!(without.iter().any(|told| told == term), "{term}");
    }
    assert_eq!((without.len(), with.len()), (15, 17));
    assert!(!without.iter().any(|told| ["ISO_IR 87", "ISO_IR 6"].contains(&told.as_str())));
    assert!(["ISO 2022 IR 6", "ISO 2022 IR 159"].iter().all(|term| with.iter().any(|told| told == term)));
}
