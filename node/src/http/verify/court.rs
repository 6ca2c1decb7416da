//! One question to the judge: what was asked, read from one snapshot, proven, and held against
//! what this node remembers.

use std::sync::Arc;

use serde::Deserialize;
use symbolon_credential::long_text::Base64UrlText;
use symbolon_credential::sd_jwt::Parsed;
use symbolon_ledger::{
    codes::ProvinceCode,
    records::{ProvinceRecord, Record},
    state::StateKey,
};
use symbolon_verify::{
    instant,
    judge::{Ledger, Request as Question, Unavailable, hear_again},
    verdict::Verdict,
    view::{AsOf, LedgerView, ReadError, Records},
};
use utoipa::ToSchema;

use super::{
    MAX_BINDING_TEXT,
    challenges::{OwnNonce, bad_audience, default_audience},
    recall::{Heard, Recall},
    signatures::Signatures,
    unpack,
};
use crate::{
    engine::EngineStatus,
    http::{
        Server,
        callers::Caller,
        error::Problem,
        extract::{PROVINCES, code},
        registries::find_parameters,
    },
    storage::{StorageError, View},
};

/// What is to be verified, and for whom.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct VerifyBody {
    /// SD-JWT text (the issuer-signed JWT, disclosures and perhaps a key-binding JWT, each after
    /// a `~`), or the same packed for QR codes, which begins with `ELC1:`.
    presentation: String,
    /// Whom the holder's signature must be meant for; `urn:elic:qr` when absent, which is
    /// whoever scans it. For a challenge of this node, that of the challenge.
    audience: Option<String>,
    /// The challenge that the holder must have signed: of `POST /v1/challenges` at this node, or
    /// the verifier's own.
    nonce: Option<String>,
    /// Code of the province whose recognition is asked for; the answering node's when absent.
    recognising_province: Option<String>,
    /// Another time at which licence dates and recognition are judged: RFC 3339, or a day
    /// `YYYY-MM-DD` in Beijing. It never moves the freshness of the presentation.
    at: Option<String>,
}

impl VerifyBody {
    /// Nothing asked but whether it holds here and now.
    pub(in crate::http) fn of(presentation: String) -> Self {
        Self { presentation, audience: None, nonce: None, recognising_province: None, at: None }
    }
}

/// What all cases of one request share.
pub(in crate::http) struct Court<'a, 'v> {
    view: &'a View<'v>,
    recall: &'a Recall,
    signatures: &'a Signatures,
    /// Who asks.
    caller: Caller,
    max_staleness_ms: u64,
    now_ms: u64,
    home: Option<ProvinceCode>,
    /// Why there is no newer block, when this node knows of a reason.
    late: Option<Unavailable>,
    proof: bool,
}

/// A question that can be put to the judge.
struct Case {
    presentation: Parsed,
    question: Question,
    nonce: Option<OwnNonce>,
}

impl<'a, 'v> Court<'a, 'v> {
    pub(in crate::http) fn open(
        server: &'a Server,
        view: &'a View<'v>,
        (caller, proof): (Caller, bool),
    ) -> Result<Self, Problem> {
        Ok(Self {
            view,
            recall: &server.recall,
            signatures: &server.signatures,
            caller,
            max_staleness_ms: find_parameters(view)?.max_staleness_ms,
            now_ms: (server.context.clock)(),
            home: server.context.province,
            late: why_late(&server.context.status.borrow()),
            proof,
        })
    }

    /// Judges one presentation. Nothing is remembered yet.
    pub(in crate::http) fn hear(&self, body: &VerifyBody) -> Result<Heard, Problem> {
        let Case { presentation, question, nonce } = self.prepare(body)?;
        let as_of = AsOf::of(&self.view.tip().header);
        let asking = question.recognising_province;
        let records = LedgerView::read_from(AtTip(self.view), as_of, &presentation, asking)
            .map_err(|error| match error {
                ReadError::Source(error) => error,
                record @ ReadError::Record { .. } => StorageError::damaged(record),
            })?;
        let proof = if self.proof { Some(self.view.state_proof(&records.keys)?) } else { None };
        let ledger = match self.late {
            Some(why) => Ledger::Late(Box::new(records), why),
            None => Ledger::At(Box::new(records)),
        };
        let judged = hear_again(&presentation, &ledger, &question, self.signatures);
        Ok(Heard { judged, nonce, proof: proof.as_deref().map(Base64UrlText::of) })
    }

    /// The verdicts, in order. From here on, what they are about was shown here.
    ///
    /// A problem in the place of one is its holder's alone.
    pub(in crate::http) fn close(
        &self,
        heard: Vec<Heard>,
    ) -> Result<Vec<Result<Verdict, Problem>>, Problem> {
        self.recall.close(heard, (self.caller, self.now_ms))
    }

    /// The verdict on one presentation.
    pub(in crate::http) fn verdict(&self, body: &VerifyBody) -> Result<Verdict, Problem> {
        let mut verdicts = self.close(vec![self.hear(body)?])?;
        verdicts.pop().expect("one was heard, so one was closed")
    }

    fn prepare(&self, body: &VerifyBody) -> Result<Case, Problem> {
        let presentation = unpack::parse(&body.presentation)?;
        let recognising_province = match &body.recognising_province {
            Some(text) => self.province(text)?,
            None => self.home.ok_or_else(|| {
                let hint = "give recognising_province: this node belongs to no province";
                Problem::bad("bad_province", "recognising_province is missing", hint)
            })?,
        };
        for (name, text) in [("audience", &body.audience), ("nonce", &body.nonce)] {
            if text.as_ref().is_some_and(|t| !(1..=MAX_BINDING_TEXT).contains(&t.len())) {
                let detail = format!("{name} has 1 to {MAX_BINDING_TEXT} bytes");
                return Err(Problem::bad("bad_json", detail, "shorten it, or leave it out"));
            }
        }
        let nonce = body.nonce.as_deref().and_then(OwnNonce::read);
        let question = Question {
            recognising_province,
            audience: self.audience(body, nonce.as_ref())?,
            nonce: body.nonce.clone(),
            now_ms: self.now_ms,
            at_ms: body.at.as_deref().map(read_instant).transpose()?,
            // Dates and recognition are in the newest records, whatever the time asked for.
            earliest_at_ms: None,
            max_staleness_ms: self.max_staleness_ms,
        };
        Ok(Case { presentation, question, nonce })
    }

    /// Whom the holder must have signed for.
    fn audience(
        &self,
        body: &VerifyBody,
        nonce: Option<&OwnNonce>,
    ) -> Result<Option<String>, Problem> {
        let asked = body.audience.clone();
        let Some(nonce) = nonce else { return Ok(asked) };
        match self.recall.audience(nonce, self.now_ms) {
            Some(given) if asked.as_ref().is_some_and(|asked| *asked != given) => {
                let detail = "the challenge was given for another audience";
                Err(bad_audience(detail, "give that of the challenge, or leave audience out"))
            }
            Some(given) => Ok(Some(given)),
            None => Ok(asked.or_else(|| default_audience(self.home))),
        }
    }

    fn province(&self, text: &str) -> Result<ProvinceCode, Problem> {
        let province: ProvinceCode = code(text, "bad_province", PROVINCES)?;
        if self.view.shared::<ProvinceRecord>(&StateKey::Province(province))?.is_none() {
            let detail = format!("recognising_province: no province {province}");
            return Err(Problem::bad("bad_province", detail, PROVINCES));
        }
        Ok(province)
    }
}

/// The records of a snapshot, those of the registries decoded once a height.
struct AtTip<'a, 'v>(&'a View<'v>);

impl Records for AtTip<'_, '_> {
    type Error = StorageError;

    fn record<R>(&mut self, key: &StateKey) -> Result<Option<Arc<R>>, ReadError<StorageError>>
    where
        R: Record + Send + Sync + 'static,
    {
        self.0.shared(key).map_err(ReadError::Source)
    }
}

/// Why this node has no newer block. It tells only where the newest one is too old.
fn why_late(engine: &EngineStatus) -> Option<Unavailable> {
    if engine.syncing {
        return Some(Unavailable::NodeBehind);
    }
    engine.stall.as_ref().map(|_| Unavailable::NoQuorum)
}

/// Reads an instant, or the first instant of a day in Beijing, as milliseconds since 1970.
fn read_instant(text: &str) -> Result<u64, Problem> {
    instant::read(text).ok_or_else(|| {
        let hint = "give an instant such as 2026-11-23T08:00:00Z, or a day such as 2026-11-23";
        Problem::bad(
            "bad_at",
            "at is neither a day of the form YYYY-MM-DD nor an RFC 3339 instant, from 1970 on",
            hint,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Stall;

    #[test]
    fn a_node_knows_why_it_has_no_newer_block() {
        let check = |syncing, stalled: bool, expected| {
            let stall = stalled.then(Stall::default);
            let engine = EngineStatus { syncing, stall, ..EngineStatus::default() };
            assert_eq!(why_late(&engine), expected);
        };
        check(false, false, None);
        check(true, false, Some(Unavailable::NodeBehind));
        check(false, true, Some(Unavailable::NoQuorum));
        // Others have newer blocks, whatever this node hears of votes.
        check(true, true, Some(Unavailable::NodeBehind));
    }

    #[test]
    fn a_time_is_an_instant_or_a_day_in_beijing() {
        let ms = |text: &str| read_instant(text).ok();
        assert_eq!(ms("2026-11-23T16:00:00Z"), Some(1_795_449_600_000));
        assert_eq!(ms("2026-11-24"), Some(1_795_449_600_000));
        assert_eq!(ms("2026-11-24T00:00:00+08:00"), Some(1_795_449_600_000));
        for wrong in ["", "now", "2026-02-30", "1969-12-31T00:00:00Z", "2026-11-23T16:00:00"] {
            assert_eq!(ms(wrong), None, "{wrong}");
        }
    }
}
