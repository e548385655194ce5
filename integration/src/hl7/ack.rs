//! The receiver's answer to a message (chapter 2 §2.9.2).

use super::{
    charset::{self, Charset},
    message::{Message, MessageError, Segment},
};
use crate::wording::shorten;

/// Why an answer is no acceptance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    #[error("answer is not HL7: {0}")]
    NotHl7(#[from] MessageError),
    #[error("answer has no MSA segment")]
    NoMsa,
    #[error("answer has the unknown acknowledgement code {0:?}")]
    UnknownCode(String),
    #[error("answer is for message {actual:?}, {expected:?} was sent")]
    OtherMessage { expected: String, actual: String },
    #[error("receiver answered {code}: {text}")]
    Negative { code: String, condition: Option<u16>, text: String },
}

/// What an answer means for sending the message again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It says nothing about the message.
    NoAnswer,
    Temporary,
    Final,
}

impl AckError {
    /// The condition (ERR-3, table 0357) decides where there is one: 100–103 and 200–203 lie in the message, 205 means
    /// that the receiver has it in another form, 206 and 207 pass. A 204, unknown key, passes when the patient is
    /// registered. Else AE and CE may pass, AR and CR do not.
    pub fn severity(&self) -> Severity {
        let Self::Negative { code, condition, .. } = self else { return Severity::NoAnswer };
        match condition {
            Some(100..=103 | 200..=203 | 205) => Severity::Final,
            Some(204 | 206 | 207) => Severity::Temporary,
            _ if code.ends_with('E') => Severity::Temporary,
            _ => Severity::Final,
        }
    }
}

/// Reads an answer to the message with this control id. `Ok`: it is accepted; the text is for people.
///
/// `charset`: for answers that declare none.
pub fn read(answer: &[u8], charset: Charset, control_id: &str) -> Result<String, AckError> {
    let text = charset::decode(answer, charset);
    let message = Message::parse(&text)?;
    let msa = message.segment("MSA").ok_or(AckError::NoMsa)?;
    let actual = msa.component(2, 1);
    if actual.trim() != control_id {
        return Err(AckError::OtherMessage { expected: control_id.into(), actual: shorten(&actual) });
    }
    let code = msa.component(1, 1).trim().to_ascii_uppercase();
    match code.as_str() {
        "AA" | "CA" => Ok(receipt(&code, &msa.component(3, 1))),
        "AE" | "AR" | "CE" | "CR" => Err(negative(code, msa, &message)),
        _ => Err(AckError::UnknownCode(shorten(&code))),
    }
}

fn receipt(code: &str, text: &str) -> String {
    if text.is_empty() { code.to_owned() } else { shorten(&format!("{code}: {text}")) }
}

/// Gathers the reason: MSA-3, and of each ERR the location and condition (ERR-1 before 2.5, then ERR-2 and -3) and the
/// texts (ERR-7, -8).
fn negative(code: String, msa: &Segment, message: &Message) -> AckError {
    let errors: Vec<&Segment> = message.segments.iter().filter(|segment| segment.name() == "ERR").collect();
    let mut texts = vec![msa.readable(3)];
    for error in &errors {
        texts.extend([1, 2, 3, 7, 8].map(|number| error.readable(number)));
    }
    texts.retain(|text| !text.is_empty());
    let text = if texts.is_empty() { "no reason given".into() } else { shorten(&texts.join("; ")) };
    AckError::Negative { code, condition: errors.iter().find_map(|error| condition(error)), text }
}

/// The code of table 0357: ERR-3.1, before 2.5 ERR-1.4.1.
fn condition(error: &Segment) -> Option<u16> {
    let old = error.component(1, 4);
    let old = old.split('&').next().unwrap_or_default();
    error.component(3, 1).trim().parse().or_else(|_| old.trim().parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(rest: &str) -> String {
        format!("MSH|^~\\&|EMR|H|YINGHAI|H|20261123||ACK^R01^ACK|9|P|2.5.1\r{rest}")
    }

    fn check(rest: &str, expected: Result<&str, Severity>) {
        let read = read(answer(rest).as_bytes(), Charset::Utf8, "7");
        assert_eq!(read.as_deref().map_err(AckError::severity), expected, "{rest:?}: {read:?}");
    }

    #[test]
    fn only_an_accept_code_for_our_message_is_acceptance() {
        check("MSA|AA|7\r", Ok("AA"));
        check("MSA|CA|7|kept\r", Ok("CA: kept"));
        check("MSA| aa |7\r\n", Ok("AA"));
        check("MSA|AA|8\r", Err(Severity::NoAnswer));
        check("MSA|AA\r", Err(Severity::NoAnswer));
        check("MSA|OK|7\r", Err(Severity::NoAnswer));
        check("ERR|\r", Err(Severity::NoAnswer));
    }

    #[test]
    fn the_condition_tells_a_hopeless_message_from_a_busy_receiver() {
        check("MSA|AE|7|who is that\r", Err(Severity::Temporary));
        check("MSA|CE|7\r", Err(Severity::Temporary));
        check("MSA|AR|7\r", Err(Severity::Final));
        check("MSA|CR|7\r", Err(Severity::Final));
        check("MSA|AE|7\rERR||PID^1^5|101^Required field missing^HL70357|E\r", Err(Severity::Final));
        check("MSA|AE|7\rERR||PID^1^3|204^Unknown key identifier^HL70357|E\r", Err(Severity::Temporary));
        check("MSA|AR|7\rERR|||207^Application internal error^HL70357|E\r", Err(Severity::Temporary));
        check("MSA|AR|7\rERR|^^^207&Application internal error\r", Err(Severity::Temporary));
    }

    #[test]
    fn the_reason_is_kept_for_people() {
        let text = answer("MSA|AE|7|refused\rERR||PID^1^3|204^Unknown key identifier^HL70357|E|||no P1 here\r");
        let error = read(text.as_bytes(), Charset::Utf8, "7").unwrap_err();
        let expected =
            "receiver answered AE: refused; PID 1 3; 204 Unknown key identifier HL70357; no P1 here".to_owned();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn garbage_is_no_answer() {
        for garbage in [b"".as_slice(), b"\xff\xfe\0", b"OK", b"MSH", b"MSH|"] {
            let error = read(garbage, Charset::Gb18030, "7").unwrap_err();
            assert_eq!(error.severity(), Severity::NoAnswer, "{garbage:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
            let _ = read(&bytes, Charset::Utf8, "7");
            let _ = read(&[answer("MSA|AE|7|").as_bytes(), &bytes].concat(), Charset::Gb18030, "7");
        }

        #[test]
        fn any_error_segment_is_read(err in any::<String>()) {
            let _ = read(answer(&format!("MSA|AE|7\rERR|{err}")).as_bytes(), Charset::Utf8, "7");
        }
    }
}
