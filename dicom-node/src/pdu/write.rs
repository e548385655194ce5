//! PDU → bytes.

use super::{APPLICATION_CONTEXT, AssociateAc, AssociateRq, Pdu, Pdv, UserInformation};

impl Pdu {
    /// Appends the PDU to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::AssociateRq(rq) => framed(out, 1, |out| associate_rq(out, rq)),
            Self::AssociateAc(ac) => framed(out, 2, |out| associate_ac(out, ac)),
            Self::AssociateRj(rj) => framed(out, 3, |out| out.extend([0, rj.result, rj.source, rj.reason])),
            Self::Data(values) => framed(out, 4, |out| values.iter().for_each(|value| pdv(out, value))),
            Self::ReleaseRq => framed(out, 5, |out| out.extend([0; 4])),
            Self::ReleaseRp => framed(out, 6, |out| out.extend([0; 4])),
            Self::Abort(abort) => framed(out, 7, |out| out.extend([0, 0, abort.source, abort.reason])),
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }
}

fn pdv(out: &mut Vec<u8>, value: &Pdv) {
    counted(out, |out| {
        out.extend([value.context, u8::from(value.is_command) | u8::from(value.is_last) << 1]);
        out.extend_from_slice(&value.data);
    });
}

fn associate_rq(out: &mut Vec<u8>, rq: &AssociateRq) {
    associate_head(out, rq.protocol_version, &rq.called, &rq.calling);
    item(out, 0x10, |out| out.extend_from_slice(rq.application_context.as_bytes()));
    for context in &rq.contexts {
        item(out, 0x20, |out| {
            out.extend([context.id, 0, 0, 0]);
            item(out, 0x30, |out| out.extend_from_slice(context.abstract_syntax.as_bytes()));
            for syntax in &context.transfer_syntaxes {
                item(out, 0x40, |out| out.extend_from_slice(syntax.as_bytes()));
            }
        });
    }
    item(out, 0x50, |out| user_information(out, &rq.user));
}

fn associate_ac(out: &mut Vec<u8>, ac: &AssociateAc) {
    associate_head(out, 1, &ac.called, &ac.calling);
    item(out, 0x10, |out| out.extend_from_slice(APPLICATION_CONTEXT.as_bytes()));
    for context in &ac.contexts {
        item(out, 0x21, |out| {
            out.extend([context.id, 0, context.outcome as u8, 0]);
            item(out, 0x40, |out| out.extend_from_slice(context.transfer_syntax.as_bytes()));
        });
    }
    item(out, 0x50, |out| user_information(out, &ac.user));
}

fn associate_head(out: &mut Vec<u8>, version: u16, called: &str, calling: &str) {
    out.extend(version.to_be_bytes());
    out.extend([0; 2]);
    for title in [called, calling] {
        out.extend(title.bytes().chain(std::iter::repeat(b' ')).take(16));
    }
    out.extend([0; 32]);
}

fn user_information(out: &mut Vec<u8>, user: &UserInformation) {
    item(out, 0x51, |out| out.extend(user.max_length.to_be_bytes()));
    item(out, 0x52, |out| out.extend_from_slice(user.implementation_class_uid.as_bytes()));
    if let Some((invoked, performed)) = user.asynchronous_operations {
        item(out, 0x53, |out| out.extend([invoked.to_be_bytes(), performed.to_be_bytes()].concat()));
    }
    for role in &user.roles {
        item(out, 0x54, |out| {
            counted_short(out, |out| out.extend_from_slice(role.sop_class.as_bytes()));
            out.extend([u8::from(role.scu), u8::from(role.scp)]);
        });
    }
    item(out, 0x55, |out| out.extend_from_slice(user.implementation_version_name.as_bytes()));
    for extended in &user.extended {
        item(out, 0x56, |out| {
            counted_short(out, |out| out.extend_from_slice(extended.sop_class.as_bytes()));
            out.extend_from_slice(&extended.information);
        });
    }
    if user.identity_confirmed {
        // A server response of zero length, as for user name and passcode (PS3.7 Table D.3-15).
        item(out, 0x59, |out| counted_short(out, |_| {}));
    }
}

fn framed(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.extend([kind, 0]);
    counted(out, body);
}

/// `body` after its 32-bit length.
fn counted(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 4]);
    body(out);
    let len = u32::try_from(out.len() - start - 4).expect("PDUs are cut to the peer's 32-bit maximum");
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}

fn item(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.extend([kind, 0]);
    counted_short(out, body);
}

/// `body` after its 16-bit length.
fn counted_short(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 2]);
    body(out);
    // What we propose and answer: at most 128 items of one UID each.
    let len = u16::try_from(out.len() - start - 2).expect("items that we write stay far below 64 KiB");
    out[start..start + 2].copy_from_slice(&len.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use bytes::BytesMut;
    use proptest::{collection::vec, prelude::*};

    fn check(pdu: &Pdu) {
        let mut buffer = BytesMut::from(pdu.to_bytes().as_slice());
        assert_eq!(take(&mut buffer, 1 << 20).as_ref(), Ok(&Some(pdu.clone())));
        assert!(buffer.is_empty());
    }

    #[test]
    fn the_fixed_pdus_round_trip() {
        for pdu in [
            Pdu::ReleaseRq,
            Pdu::ReleaseRp,
            Pdu::Abort(Abort::UNEXPECTED_PDU),
            Pdu::AssociateRj(AssociateRj::CALLED_AE_TITLE),
        ] {
            check(&pdu);
        }
    }

    fn user() -> impl Strategy<Value = UserInformation> {
        (any::<u32>(), "[0-9.]{1,64}", "[A-Z_0-9]{1,16}", any::<Option<(u16, u16)>>(), vec(any::<u8>(), 0..8)).prop_map(
            |(max_length, uid, version, asynchronous_operations, information)| UserInformation {
                max_length,
                implementation_class_uid: uid.clone(),
                implementation_version_name: version,
                asynchronous_operations,
                roles: vec![RoleSelection { sop_class: uid.clone(), scu: true, scp: false }],
                extended: vec![ExtendedNegotiation { sop_class: uid, information: information.into() }],
                identity: None,
                identity_confirmed: max_length % 2 == 0,
            },
        )
    }

    proptest! {
        #[test]
        fn requests_round_trip(
            called in "[A-Z]{1,16}",
            calling in "[A-Z]{1,16}",
            contexts in vec((any::<u8>(), "[0-9.]{1,64}", vec("[0-9.]{1,64}", 0..4)), 0..12),
            user in user(),
        ) {
            let context = |(id, abstract_syntax, transfer_syntaxes)| ProposedContext { id, abstract_syntax, transfer_syntaxes };
            check(&Pdu::AssociateRq(Box::new(AssociateRq {
                protocol_version: 1,
                called,
                calling,
                application_context: APPLICATION_CONTEXT.to_owned(),
                contexts: contexts.into_iter().map(context).collect(),
                user,
            })));
        }

        #[test]
        fn answers_round_trip(ids in vec(any::<u8>(), 0..20), uid in "[0-9.]{1,64}", user in user()) {
            let context = |id| ContextResult { id, outcome: ContextOutcome::Acceptance, transfer_syntax: uid.clone() };
            check(&Pdu::AssociateAc(Box::new(AssociateAc {
                called: "YINGHAI".to_owned(),
                calling: "CT".to_owned(),
                contexts: ids.into_iter().map(context).collect(),
                user,
            })));
        }

        #[test]
        fn values_round_trip(values in vec((any::<u8>(), any::<bool>(), any::<bool>(), vec(any::<u8>(), 0..99)), 1..9)) {
            let value = |(context, is_command, is_last, data): (_, _, _, Vec<u8>)| Pdv { context, is_command, is_last, data: data.into() };
            check(&Pdu::Data(values.into_iter().map(value).collect()));
        }
    }
}
