//! `symbolon verify --offline`: the verdict with no node to ask.
//!
//! Everything that it rests on is brought in files, and how old each of them is stands under the
//! verdict. Evidence that cannot be used is no answer about the licence: it ends with status 2, or
//! with 5 when something more is needed, and never with 1. A node's verdict is held against the
//! same trust in [`held`].

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use symbolon_credential::{
    elc1,
    sd_jwt::Parsed,
    status_list::{self, CheckError, Checked, MAX_TOKEN_LEN},
};
use symbolon_genesis::document::{DEFAULT_BUNDLE_MAX_AGE_MS, DEFAULT_MAX_STALENESS_MS};
use symbolon_ledger::{
    codec,
    codes::ProvinceCode,
    records::{ParametersRecord, ProvinceRecord},
    state::StateKey,
    state_proof::{MAX_STATE_PROOF_BYTES, StateProof},
};
use symbolon_verify::{
    instant,
    judge::Request,
    offline::{self, Evidence},
    state_proof::{self, CheckedState, StateProofError},
    status_list::{self as lists, StatusListError},
    trust::{CheckedHeader, Trust},
    verdict::Verdict,
};

use super::super::{
    shared::parse_province,
    trusted::{Inclusions, Pin, Source, dated, header_hint, is_unreached, read_founding},
};
use crate::{
    args::Context,
    clock, files,
    output::{Failure, Status},
};

mod held;

/// What stands in for a node, or what a node's word is held against.
#[derive(Debug, Args)]
#[command(next_help_heading = "Without a node, or without believing it")]
pub(super) struct OfflineArgs {
    /// Ask no node: judge with the files named here
    #[arg(long, requires = "trust")]
    offline: bool,
    /// The trust bundle (`symbolon trust-bundle get --out FILE`). Where a node is asked, its
    /// verdict is held against the proof that comes with it
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Hold the trust bundle against the founding document; it does in its place where a node is
    /// asked and the founding validators still vote
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Hold the trust bundle against a block that you know
    #[arg(long, value_name = "HEIGHT:HASH", requires = "trust", conflicts_with = "genesis")]
    pin: Option<Pin>,
    /// A state proof of the licence (`symbolon proof get`); more than one may be given
    #[arg(long, value_name = "FILE", requires = "offline")]
    proof: Vec<PathBuf>,
    /// The inclusion of a proof from below the pinned block (`symbolon proof inclusion`)
    #[arg(long, value_name = "FILE", requires = "offline")]
    inclusion: Vec<PathBuf>,
    /// A status list of the issuer's province; its key must be in a proof (it is in a staple)
    #[arg(long, value_name = "FILE", requires = "offline")]
    status_list: Option<PathBuf>,
}

/// What is asked, as the other flags of `verify` say it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) at: Option<&'a str>,
    pub(super) province: Option<ProvinceCode>,
    pub(super) audience: Option<&'a str>,
    pub(super) nonce: Option<&'a str>,
}

/// A verdict with what it rests on.
pub(super) struct Offline {
    /// The verdict as JSON, with a member `evidence`.
    pub(super) verdict: Value,
    /// How old each piece is, for people.
    pub(super) evidence: Vec<String>,
    pub(super) status: Status,
}

impl OfflineArgs {
    /// Whether no node is to be asked.
    pub(super) const fn is_asked(&self) -> bool {
        self.offline
    }

    /// Judges `presentation` with what is at hand.
    ///
    /// # Errors
    ///
    /// When the evidence cannot be used, or the question makes no sense.
    pub(super) fn judge(
        &self,
        presentation: &str,
        question: &Question<'_>,
        context: &Context,
    ) -> Result<Offline, Failure> {
        let now_ms = clock::now_ms();
        let trust = self.read_trust().map_err(no_answer)?;
        let states = self.read_proofs(&trust)?;
        let limits = Limits::of(&states, self.genesis.as_deref()).map_err(no_answer)?;
        let request = question.request(now_ms, &limits, context)?;
        refuse_unknown_province(request.recognising_province, &states)?;
        let parsed = read_presentation(presentation)?;
        let list = match &self.status_list {
            Some(path) => Some(read_list(path, &parsed, &states, now_ms)?),
            None => None,
        };
        let counts = list.as_ref().and_then(|list| list.counts.as_ref());
        let evidence = Evidence { states: &states, list: counts };
        let verdict =
            offline::verify(&parsed, &evidence, &trust, limits.bundle_max_age_ms, &request);
        Ok(answer(&verdict, &trust, &states, list.as_ref()))
    }

    fn read_trust(&self) -> Result<Trust, Failure> {
        let source = Source { genesis: self.genesis.clone(), pin: self.pin };
        // `offline` requires it.
        let path = self.trust.as_deref().unwrap_or(Path::new(""));
        source.check_file(path, None)
    }

    fn read_proofs(&self, trust: &Trust) -> Result<Vec<CheckedState>, Failure> {
        let inclusions = Inclusions::read(&self.inclusion).map_err(no_answer)?;
        let check = |path: &PathBuf| {
            let limit = MAX_STATE_PROOF_BYTES as u64;
            let bytes = files::read(path, limit, "the state proof").map_err(no_answer)?;
            let proof = codec::decode::<StateProof>(&bytes, MAX_STATE_PROOF_BYTES).ok();
            let inclusion = proof.as_ref().and_then(|proof| inclusions.of(&proof.header));
            state_proof::check_included(&bytes, trust, inclusion).map_err(|error| {
                let name = path.display();
                let hint = match &error {
                    StateProofError::Header(e) if is_unreached(e) => {
                        let message = format!("{name} cannot be checked yet: {error}");
                        let undetermined = Status::Undetermined;
                        return Failure::new(undetermined, "more_needed", message, header_hint(e));
                    }
                    StateProofError::Header(e) => header_hint(e),
                    _ => "ask for it again: `symbolon proof get`".to_owned(),
                };
                Failure::usage("bad_proof", format!("{name} proves nothing: {error}"), hint)
            })
        };
        self.proof.iter().map(check).collect()
    }
}

/// A status list at hand.
struct List {
    /// The list, unless its end has passed: then it says nothing.
    counts: Option<Checked>,
    height: u64,
    issued_at: u64,
}

fn read_list(
    path: &Path,
    presentation: &Parsed,
    states: &[CheckedState],
    now_ms: u64,
) -> Result<List, Failure> {
    let limit = MAX_TOKEN_LEN as u64 + 2;
    let text = files::read_text(path, limit, "the status list").map_err(no_answer)?;
    let refuse = |status, what: String, hint: &str| {
        let message = format!("{} cannot be used: {what}", path.display());
        Failure::new(status, "bad_status_list", message, hint)
    };
    let other = "give the list that the credential names, as the province's node serves it";
    let token = status_list::Parsed::parse(text.trim())
        .map_err(|e| refuse(Status::Usage, e.to_string(), other))?;
    let address = offline::list_of(presentation, states).ok_or_else(|| {
        let what = "no proof covers the licence, so it is not known on which list it is".to_owned();
        refuse(Status::Undetermined, what, "give a proof with it: `symbolon proof get`")
    })?;
    let (height, issued_at) = (token.claimed_ledger().height, token.claimed_issued_at());
    match lists::check(&token, &address.uri(), states, now_ms / 1_000, None) {
        Ok(checked) => Ok(List { counts: Some(checked), height, issued_at }),
        Err(StatusListError::Check(CheckError::Expired { .. })) => {
            Ok(List { counts: None, height, issued_at })
        }
        Err(error @ StatusListError::Lookup(_)) => {
            let hint =
                "give a proof that covers the province and its status key: `symbolon proof get`";
            Err(refuse(Status::Undetermined, error.to_string(), hint))
        }
        Err(error) => Err(refuse(Status::Usage, error.to_string(), other)),
    }
}

/// A file that cannot be used says nothing about the licence.
fn no_answer(failure: Failure) -> Failure {
    let status = match failure.status {
        Status::Refused => Status::Usage,
        status => status,
    };
    Failure { status, ..failure }
}

/// Refuses to ask for a province that the evidence proves not to be on the chain.
fn refuse_unknown_province(code: ProvinceCode, states: &[CheckedState]) -> Result<(), Failure> {
    let key = StateKey::Province(code);
    if !states.iter().any(|state| matches!(state.get::<ProvinceRecord>(&key), Ok(None))) {
        return Ok(());
    }
    Err(Failure::usage(
        "no_such_province",
        format!("there is no province {code} on this chain"),
        "give your own province's code after --province, such as 11",
    ))
}

/// The ages up to which evidence counts: the chain's own where the newest proof has them, otherwise
/// those of its founding document, and without one those that a chain is founded with unless its
/// founders say otherwise.
struct Limits {
    max_staleness_ms: u64,
    bundle_max_age_ms: u64,
}

impl Limits {
    fn of(states: &[CheckedState], genesis: Option<&Path>) -> Result<Self, Failure> {
        let proven = |state: &CheckedState| {
            let record = state.get::<ParametersRecord>(&StateKey::Parameters).ok().flatten()?;
            Some((state.header().header().height, record))
        };
        let newest = states.iter().filter_map(proven).max_by_key(|(height, _)| *height);
        if let Some((_, ParametersRecord { max_staleness_ms, bundle_max_age_ms, .. })) = newest {
            return Ok(Self { max_staleness_ms, bundle_max_age_ms });
        }
        let founded = genesis.map(read_founding).transpose()?.map(|genesis| genesis.chain);
        Ok(Self {
            max_staleness_ms: founded
                .as_ref()
                .map_or(DEFAULT_MAX_STALENESS_MS, |chain| chain.max_staleness_ms),
            bundle_max_age_ms: founded
                .as_ref()
                .map_or(DEFAULT_BUNDLE_MAX_AGE_MS, |chain| chain.bundle_max_age_ms),
        })
    }
}

impl Question<'_> {
    fn request(&self, now_ms: u64, limits: &Limits, context: &Context) -> Result<Request, Failure> {
        let acting = context.global.acting_as.as_deref().and_then(|p| parse_province(p).ok());
        let recognising_province = self.province.or(acting).ok_or_else(|| {
            Failure::usage(
                "no_province",
                "without a node, nothing says for which province to judge",
                "give --province CODE, such as --province 11",
            )
        })?;
        Ok(Request {
            recognising_province,
            audience: self.audience.map(str::to_owned),
            nonce: self.nonce.map(str::to_owned),
            now_ms,
            at_ms: self.at.map(read_instant).transpose()?,
            earliest_at_ms: None,
            max_staleness_ms: limits.max_staleness_ms,
        })
    }
}

/// Reads an instant, or the first instant of a day in Beijing.
fn read_instant(text: &str) -> Result<u64, Failure> {
    instant::read(text).ok_or_else(|| {
        Failure::usage(
            "bad_at",
            "--at is neither a day of the form YYYY-MM-DD nor an RFC 3339 instant, from 1970 on",
            "give a day such as 2026-11-23, or an instant such as 2026-11-23T08:00:00Z",
        )
    })
}

/// Reads SD-JWT text or the text of a QR code; what is neither is refused, as a node refuses it.
fn read_presentation(text: &str) -> Result<Parsed, Failure> {
    let refuse = |what: String, hint: &str| Failure::refused("malformed_presentation", what, hint);
    let unpacked = if text.starts_with(elc1::PREFIX) {
        let hint = "scan the code again, and give its whole text";
        elc1::decode(text).map_err(|e| refuse(e.to_string(), hint))?
    } else {
        text.to_owned()
    };
    Parsed::parse(&unpacked).map_err(|e| {
        let hint = "give the whole SD-JWT text, from eyJ to the last ~ or key-binding JWT";
        refuse(e.to_string(), hint)
    })
}

/// One piece of evidence, as JSON and for people.
fn piece(height: u64, time_ms: u64) -> (Value, String) {
    let json = json!({
        "height": height,
        "time": instant::text(time_ms),
        "age_ms": clock::now_ms().saturating_sub(time_ms),
    });
    (json, dated(height, time_ms))
}

fn answer(
    verdict: &Verdict,
    trust: &Trust,
    states: &[CheckedState],
    list: Option<&List>,
) -> Offline {
    let of = |header: &CheckedHeader| piece(header.header().height, header.header().time_ms);
    let (pin, said) = of(trust.pin());
    let mut evidence = vec![format!("trust bundle  {said}")];
    let mut proofs = Vec::new();
    for state in states {
        let (proof, said) = of(state.header());
        proofs.push(proof);
        evidence.push(format!("state proof   {said}"));
    }
    let mut json = serde_json::to_value(verdict).expect("a verdict has a JSON form");
    json["evidence"] = json!({"trust": pin, "proofs": proofs});
    if let Some(List { counts, height, issued_at }) = list {
        let (mut piece, said) = piece(*height, issued_at.saturating_mul(1_000));
        let until = counts.as_ref().map(|list| instant::text(list.expires().saturating_mul(1_000)));
        let end = until
            .as_ref()
            .map_or("its end has passed: not used".to_owned(), |until| format!("until {until}"));
        evidence.push(format!("status list   {said}, {end}"));
        piece["until"] = json!(until);
        json["evidence"]["status_list"] = piece;
    }
    Offline { verdict: json, evidence, status: verdict.outcome.into() }
}

#[cfg(test)]
mod tests {
    use symbolon_genesis::presets;

    use super::*;

    #[test]
    fn a_time_is_a_day_in_beijing_or_an_instant() {
        assert_eq!(read_instant("2026-11-24").unwrap(), 1_795_449_600_000);
        assert_eq!(read_instant("2026-11-23T16:00:00Z").unwrap(), 1_795_449_600_000);
        for bad in ["", "now", "2026-02-30", "1969-12-31"] {
            assert_eq!(read_instant(bad).unwrap_err().code, "bad_at", "{bad}");
        }
    }

    #[test]
    fn without_a_proof_of_them_the_ages_are_those_of_the_founding_document() {
        let limits = |path: Option<&Path>| {
            let Limits { max_staleness_ms, bundle_max_age_ms } = Limits::of(&[], path).unwrap();
            (max_staleness_ms, bundle_max_age_ms)
        };
        assert_eq!(limits(None), (DEFAULT_MAX_STALENESS_MS, DEFAULT_BUNDLE_MAX_AGE_MS));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("genesis.toml");
        let (mut genesis, _) = presets::devnet_from_seed(4, &[7; 32], 1_795_392_000_000, 20_000);
        genesis.chain.max_staleness_ms = 90_000;
        genesis.chain.bundle_max_age_ms = 3_600_000;
        files::write(&path, genesis.to_toml().as_bytes()).unwrap();
        assert_eq!(limits(Some(&path)), (90_000, 3_600_000));
    }

    #[test]
    fn evidence_that_cannot_be_used_never_looks_like_an_invalid_licence() {
        let refused = Failure::refused("bad_trust_bundle", "x", "y");
        assert_eq!(no_answer(refused).status, Status::Usage);
        let undecided = Failure::new(Status::Undetermined, "bad_proof", "x", "y");
        assert_eq!(no_answer(undecided).status, Status::Undetermined);
    }
}
