//! Storage (PS3.4 Annex B): fragments go to the archive as they come.

use super::{Caller, Done};
use crate::{
    association::negotiate::Context,
    dimse::{CommandSet, status},
};
use pacs_core::{Failure, Uid, part10::write_meta};
use std::error::Error;
use storage::{ArchiveError, Expected, Incoming, Ingested, Origin, Outcome};

/// An instance on its way in.
pub struct Reception {
    request: CommandSet,
    state: Result<(Incoming, Expected), Refusal>,
    bytes: u64,
    is_from_known: bool,
}

/// Why an instance is not taken. Its data set is passed over, and the association goes on.
struct Refusal {
    status: u16,
    comment: String,
}

impl Reception {
    pub async fn begin(caller: &Caller<'_>, context: &Context, request: CommandSet) -> Self {
        let state = match announced(&request, context) {
            Ok((sop_class, sop_instance)) => open(caller, context, sop_class, sop_instance).await,
            Err(refusal) => Err(refusal),
        };
        Self { request, state, bytes: 0, is_from_known: caller.is_known }
    }

    /// Takes a piece of the data set. The archive's own speed is the only brake: while it writes, we do not read.
    pub async fn write(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        if let Ok((incoming, _)) = &mut self.state
            && let Err(error) = incoming.write(piece).await
        {
            self.state = Err(Refusal::from(&error));
        }
    }

    /// Commits the instance and says how it ended.
    pub async fn finish(self) -> Done {
        let committed = match self.state {
            Ok((incoming, expected)) if self.is_from_known => {
                incoming.commit(&expected).await.map_err(|error| Refusal::from(&error))
            }
            Ok((incoming, expected)) => {
                let kept = incoming.quarantine(&expected).await;
                // Of no series of the archive.
                kept.map(|kept| Ingested { series: None, ..kept }).map_err(|error| Refusal::from(&error))
            }
            Err(refusal) => Err(refusal),
        };
        match committed.and_then(judge) {
            Ok(ingested) => {
                let bytes = self.bytes;
                tracing::info!(sop_instance = %ingested.sop_instance, bytes, outcome = ?ingested.outcome, "instance received");
                Done { response: self.request.response(status::SUCCESS), series: ingested.series }
            }
            Err(refusal) => {
                let code = format!("{:04X}", refusal.status);
                tracing::warn!(status = code, reason = refusal.comment, "instance refused");
                Done { response: self.request.response(refusal.status).with_comment(&refusal.comment), series: None }
            }
        }
    }
}

/// SOP Class and Instance of the request, if they can be meant.
fn announced(request: &CommandSet, context: &Context) -> Result<(Uid, Uid), Refusal> {
    if !request.has_data_set {
        return Err(Refusal::new(Failure::CannotUnderstand.dimse(), "no data set follows"));
    }
    let uid = |text: &Option<String>| text.as_deref().unwrap_or_default().parse::<Uid>();
    let sop_class = uid(&request.affected_sop_class_uid).ok().filter(|class| *class == context.abstract_syntax);
    let sop_class = sop_class.ok_or_else(|| {
        Refusal::new(Failure::SopClass.dimse(), "Affected SOP Class is not that of the presentation context")
    })?;
    let sop_instance = uid(&request.affected_sop_instance_uid)
        .map_err(|error| Refusal::new(status::INVALID_SOP_INSTANCE, &format!("Affected SOP Instance UID: {error}")))?;
    Ok((sop_class, sop_instance))
}

async fn open(
    caller: &Caller<'_>,
    context: &Context,
    sop_class: Uid,
    sop_instance: Uid,
) -> Result<(Incoming, Expected), Refusal> {
    let origin = Origin::Dimse { calling: caller.calling.clone(), address: caller.address.to_owned() };
    let meta = write_meta(&sop_class, &sop_instance, &context.transfer_syntax, Some(caller.calling.as_str()));
    let begun = async {
        let mut incoming = caller.archive.receive(origin).await?;
        incoming.write(&meta).await?;
        Ok(incoming)
    };
    let incoming = begun.await.map_err(|error: ArchiveError| Refusal::from(&error))?;
    let expected = Expected { sop_class: Some(sop_class), sop_instance: Some(sop_instance), ..Expected::default() };
    Ok((incoming, expected))
}

/// Success means to a sender that it may delete its copy. So the same bytes again are a success, as an impatient modality
/// resends them, and other bytes under a UID that we hold are one where they are kept as a further version. Where the
/// configuration has them refused they are a failure, Duplicate SOP Instance (PS3.7 §C.5.2), and no warning: warnings count
/// as stored (PS3.4 §B.2.3), and the second image would be lost.
fn judge(ingested: Ingested) -> Result<Ingested, Refusal> {
    match ingested.outcome {
        Outcome::Stored | Outcome::Version(_) | Outcome::Identical(_) => Ok(ingested),
        Outcome::Rejected => {
            Err(Refusal::new(Failure::DuplicateInstance.dimse(), "other content is held under this SOP Instance UID"))
        }
    }
}

impl Refusal {
    fn new(status: u16, comment: &str) -> Self {
        Self { status, comment: comment.to_owned() }
    }
}

impl From<&ArchiveError> for Refusal {
    /// The peer learns what is wrong with its instance; of faults of ours it learns no more than that.
    fn from(error: &ArchiveError) -> Self {
        let failure = error.failure();
        if failure == Failure::Internal {
            tracing::error!(error = chain(error), "archive failed");
            return Self::new(failure.dimse(), "internal failure");
        }
        // The cause says more than its wrapper, and a comment has 64 characters.
        let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        Self::new(failure.dimse(), &reason)
    }
}

/// The error with all its causes.
fn chain(error: &dyn Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{association::supported::Service, dimse::command::field};
    use pacs_core::{TransferSyntax, sop_class::CT_IMAGE_STORAGE};

    fn check(class: &str, instance: &str, expected: Option<u16>) {
        let context = Context {
            is_scu: true,
            is_scp: false,
            options: Default::default(),
            service: Service::Storage,
            abstract_syntax: CT_IMAGE_STORAGE.parse().unwrap(),
            transfer_syntax: TransferSyntax::explicit_little(),
        };
        let request = CommandSet {
            command_field: field::C_STORE_RQ,
            has_data_set: true,
            affected_sop_class_uid: Some(class.to_owned()),
            affected_sop_instance_uid: Some(instance.to_owned()),
            ..CommandSet::default()
        };
        assert_eq!(announced(&request, &context).err().map(|refusal| refusal.status), expected);
    }

    #[test]
    fn what_the_command_names_must_fit_the_context_and_be_a_uid() {
        check(CT_IMAGE_STORAGE, "1.2.3", None);
        check("1.2.840.10008.5.1.4.1.1.4", "1.2.3", Some(0x0122));
        check("", "1.2.3", Some(0x0122));
        check(CT_IMAGE_STORAGE, "../escaped", Some(0x0117));
        check(CT_IMAGE_STORAGE, "", Some(0x0117));
    }
}
