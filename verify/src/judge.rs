//! How the verdict is found: nine checks in a fixed order, over one presentation and one height.
//!
//! The first *proven* failure is the reason, whatever could not be decided. Only when nothing is
//! proven wrong do doubts count, and only when there are none is the licence `valid` or `unknown`.
//!
//! What an old header proves for good counts at any age: a bad signature, a mismatch with the
//! registration, a compromise, a final status. What may have changed since (an absence, a
//! suspension, "active") counts only on a header younger than `max_staleness_ms`.
//!
//! Not here: what was shown before, which needs a memory ([`hear`] leaves it open for
//! [`crate::showing`]), and fetching anything.

use symbolon_credential::{
    date,
    sd_jwt::{Disclosed, NoMemory, ParseError, Parsed, SignatureChecked, SignatureMemory},
};
use symbolon_ledger::{
    catalogue::{Disclosure, LicenceTypeRecord},
    codes::{Month, ProvinceCode},
    operation::KeyPurpose,
    records::{AgencyRecord, AgencyStatus, KeyRecord, LicenceRecord, LicenceStatus, slot_list},
};

pub use crate::view::{Ledger, Unavailable};
use crate::{
    listed::{Listed, Ruling, listed},
    message::{Holder, answer, joined, late, lead, with_holder},
    naming::{as_of_block, name_records, recognise, shown_claims},
    showing::{HolderFinding, Judged, Seen, holder},
    verdict::{Check, CheckName, CheckResult, LedgerStatus, Outcome, Reason, Verdict},
    view::{AsOf, LedgerView},
};

/// Oldest self-presented holder signature accepted, in seconds: a screenshot passed on is good
/// for no longer.
pub const MAX_PRESENTATION_AGE_S: u64 = 60;
/// Oldest holder's signature on a challenge accepted, in seconds: time enough to scan, choose and
/// sign. A challenge is answered once, but this program cannot know how long another verifier
/// remembers its own, so an answer does not count for ever.
pub const MAX_CHALLENGE_AGE_S: u64 = 300;
/// How far ahead the holder's clock may be, in seconds.
pub const MAX_CLOCK_LEAD_S: u64 = 10;

/// What the asker wants to know, and the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The province whose recognition is asked for.
    pub recognising_province: ProvinceCode,
    /// Whom a holder's signature must be meant for; `None` asks for one that is meant for whoever
    /// scans it ([`symbolon_credential::sd_jwt::SELF_PRESENTED`]).
    pub audience: Option<String>,
    /// The challenge that the holder must have signed, if one was made.
    pub nonce: Option<String>,
    /// Now, in milliseconds since 1970-01-01T00:00Z.
    pub now_ms: u64,
    /// Another time at which licence dates and recognition are judged.
    pub at_ms: Option<u64>,
    /// The earliest time that `at_ms` may be, for a verifier that keeps only a part of the dates
    /// and agreements. `None` for whoever reads whole records, as nodes and proofs have them: they
    /// say what held at every time.
    pub earliest_at_ms: Option<u64>,
    /// Greatest age of a header on which `valid` and `unknown` may rest.
    pub max_staleness_ms: u64,
}

impl Request {
    /// The time at which dates and recognition are judged.
    pub(crate) fn at_ms(&self) -> u64 {
        self.at_ms.unwrap_or(self.now_ms)
    }

    /// Whether a block is too old for what may have changed since.
    pub(crate) fn finds_stale(&self, as_of: &AsOf) -> bool {
        self.now_ms.saturating_sub(as_of.time_ms) > self.max_staleness_ms
    }

    fn is_before_window(&self) -> bool {
        self.earliest_at_ms.is_some_and(|earliest| self.at_ms() < earliest)
    }
}

/// Judges a well-formed presentation, for a verifier that remembers nothing.
///
/// ```
/// use symbolon_credential::sd_jwt::{ParseError, Parsed};
/// use symbolon_verify::{judge::{Request, malformed}, verdict::Outcome};
/// let request = Request {
///     recognising_province: "11".parse()?, audience: None, nonce: None,
///     now_ms: 1_795_449_600_000, at_ms: None, earliest_at_ms: None, max_staleness_ms: 60_000,
/// };
/// let verdict = match Parsed::parse("no licence") {
///     Ok(_) => unreachable!(),
///     Err(error) => malformed(&error, &request),
/// };
/// assert_eq!(verdict.outcome, Outcome::Invalid);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn judge(presentation: &Parsed, ledger: &Ledger, request: &Request) -> Verdict {
    hear(presentation, ledger, request).verdict(Seen::First)
}

/// Judges a well-formed presentation, for a verifier that remembers what was shown: it asks its
/// memory about [`Judged::showing`] and closes with [`Judged::verdict`].
#[must_use]
pub fn hear(presentation: &Parsed, ledger: &Ledger, request: &Request) -> Judged {
    hear_again(presentation, ledger, request, &NoMemory)
}

/// The same, for a verifier that also remembers which issuers' signatures it has checked.
#[must_use]
pub fn hear_again(
    presentation: &Parsed,
    ledger: &Ledger,
    request: &Request,
    signatures: &dyn SignatureMemory,
) -> Judged {
    let mut bench = Bench::default();
    bench.pass(CheckName::Format, "a presentation of a licence in SD-JWT form");
    match ledger {
        Ledger::At(view) => Case { presentation, view, request, signatures }.hear(bench),
        Ledger::Late(view, why) => {
            bench.late = Some(*why);
            Case { presentation, view, request, signatures }.hear(bench)
        }
        Ledger::Unavailable(why) => {
            bench.doubt(CheckName::IssuerKey, Reason::LedgerUnavailable, why.detail());
            let mut judged = bench.close(request, None, false);
            judged.verdict.cid = presentation.claimed_cid().map(|cid| cid.to_string());
            judged
        }
    }
}

/// The verdict on a text that is no presentation.
#[must_use]
pub fn malformed(error: &ParseError, request: &Request) -> Verdict {
    let mut bench = Bench::default();
    bench.fail(CheckName::Format, Reason::MalformedPresentation, &error.to_string());
    bench.close(request, None, false).verdict(Seen::First)
}

/// Every check, in order.
const ORDER: [CheckName; 9] = [
    CheckName::Format,
    CheckName::IssuerKey,
    CheckName::Signature,
    CheckName::Disclosures,
    CheckName::Ledger,
    CheckName::Compromise,
    CheckName::Status,
    CheckName::Dates,
    CheckName::HolderBinding,
];

/// The checks made so far, the first proven failure and the first doubt.
#[derive(Default)]
struct Bench {
    checks: Vec<Check>,
    failure: Option<Reason>,
    doubt: Option<Reason>,
    /// Why there is no newer block, when that is known.
    late: Option<Unavailable>,
}

impl Bench {
    fn note(&mut self, name: CheckName, result: CheckResult, detail: &str) {
        self.checks.push(Check { name, result, detail: detail.to_owned() });
    }

    fn pass(&mut self, name: CheckName, detail: &str) {
        self.note(name, CheckResult::Pass, detail);
    }

    fn skip(&mut self, name: CheckName, detail: &str) {
        self.note(name, CheckResult::Skipped, detail);
    }

    fn fail(&mut self, name: CheckName, reason: Reason, detail: &str) {
        self.note(name, CheckResult::Fail, detail);
        self.failure.get_or_insert(reason);
    }

    fn doubt(&mut self, name: CheckName, reason: Reason, detail: &str) {
        let why = self.late.filter(|_| reason == Reason::StaleLedger);
        let longer = why.map(|why| format!("{detail}: {}", why.detail()));
        self.note(name, CheckResult::Skipped, longer.as_deref().unwrap_or(detail));
        self.doubt.get_or_insert(reason);
    }

    /// The verdict, with what the caller does not know left empty.
    fn close(mut self, request: &Request, view: Option<&LedgerView>, absent: bool) -> Judged {
        for name in ORDER {
            if !self.checks.iter().any(|c| c.name == name) {
                self.skip(name, "not reached: an earlier check did not pass");
            }
        }
        self.checks.sort_by_key(|c| c.name);
        let (outcome, reason) = match (self.failure, self.doubt) {
            (Some(failure), _) => (Outcome::Invalid, Some(failure)),
            (None, Some(doubt)) => (Outcome::Undetermined, Some(doubt)),
            (None, None) if absent => (Outcome::Unknown, Some(Reason::NotOnLedger)),
            (None, None) => (Outcome::Valid, None),
        };
        let said = match (reason, self.late) {
            (Some(Reason::StaleLedger), Some(why)) => late(why),
            _ => answer(outcome, reason, view),
        };
        let recognised = recognise(request, view);
        let lead = lead(recognised, request, view);
        let mut verdict = Verdict {
            outcome,
            reason,
            ledger_status: LedgerStatus::None,
            recognised,
            holder_bound: None,
            cid: None,
            licence_type: None,
            issuer: None,
            claims: Vec::new(),
            valid_from: None,
            valid_until: None,
            superseded_by: None,
            as_of: view.map(|v| as_of_block(&v.as_of)),
            checks: self.checks,
            message: joined(&lead, &said),
            proof: None,
        };
        if let Some(view) = view {
            name_records(&mut verdict, view);
        }
        Judged { verdict, showing: None, lead }
    }
}

/// One presentation before one view of the ledger.
struct Case<'c> {
    presentation: &'c Parsed,
    view: &'c LedgerView,
    request: &'c Request,
    signatures: &'c dyn SignatureMemory,
}

impl<'c> Case<'c> {
    /// Makes all checks. Later ones are made even after a failure where that is possible, so that
    /// the list shows everything that is wrong.
    fn hear(&self, mut bench: Bench) -> Judged {
        self.issuer_key(&mut bench);
        let checked = self.signature(&mut bench);
        let licence_type = self.view.licence_type.as_deref();
        let disclosed = checked.and_then(|c| disclosures(c, licence_type, &mut bench));
        let absent = self.ledger(&mut bench);
        self.compromise(&mut bench);
        self.status(&mut bench);
        self.dates(checked, &mut bench);
        let HolderFinding { bound, showing, .. } = self.holder_binding(checked, &mut bench);

        let mut judged = bench.close(self.request, Some(self.view), absent);
        judged.showing = showing;
        let verdict = &mut judged.verdict;
        verdict.cid = self.presentation.claimed_cid().map(|cid| cid.to_string());
        verdict.holder_bound = bound;
        if let Some(listed) = self.listed() {
            listed.name(verdict);
        }
        if let Some(checked) = checked {
            let day = |seconds| date::day_of(seconds).to_string();
            verdict.valid_from = checked.not_before().map(day);
            verdict.valid_until = checked.expires().map(|end| day(end.saturating_sub(1)));
        }
        if let Some(disclosed) = disclosed {
            verdict.claims = shown_claims(&disclosed, self.view);
        }
        if verdict.outcome == Outcome::Valid {
            let paper = checked.is_some_and(|c| c.holder_key().is_none());
            with_holder(&mut verdict.message, Holder::of(bound, paper));
        }
        judged
    }

    /// Whether the header is too old for what may have changed since.
    fn is_stale(&self) -> bool {
        self.request.finds_stale(&self.view.as_of)
    }

    /// The word of a status list, where one decides.
    fn listed(&self) -> Option<Listed> {
        listed(self.view, self.request.now_ms, self.is_stale())
    }

    /// Fails, unless the header is so old that a registration may have come since.
    fn missing(&self, bench: &mut Bench, name: CheckName, detail: &str) {
        if self.is_stale() {
            let detail = format!("{detail}, as of an old block; it may have been since");
            bench.doubt(name, Reason::StaleLedger, &detail);
        } else {
            bench.fail(name, Reason::IssuerNotAuthorised, detail);
        }
    }

    fn issuer_key(&self, bench: &mut Bench) {
        const NAME: CheckName = CheckName::IssuerKey;
        let view = self.view;
        let Some(issuer) = self.presentation.claimed_issuer() else {
            let detail = "iss names no agency of this network";
            return bench.fail(NAME, Reason::IssuerNotAuthorised, detail);
        };
        let Some(agency) = &view.agency else {
            return self.missing(bench, NAME, "the agency is not registered");
        };
        let Some(province) = &view.province else {
            let detail = "the agency's province was not read";
            return bench.doubt(NAME, Reason::LedgerUnavailable, detail);
        };
        if province.issuer_origin != issuer.origin {
            let detail = "iss has another origin than the agency's province";
            return bench.fail(NAME, Reason::IssuerNotAuthorised, detail);
        }
        let Some(key) = &view.key else {
            return self.missing(bench, NAME, "the agency has no key of that number");
        };
        if key.purpose != KeyPurpose::Credential {
            let detail = "the key is not one for credentials";
            return bench.fail(NAME, Reason::IssuerNotAuthorised, detail);
        }
        if let Some(licence) = &view.licence
            && !held_at(key, licence.issued_at)
        {
            let detail = "the key was not valid at the height of issue";
            return bench.fail(NAME, Reason::IssuerNotAuthorised, detail);
        }
        bench.pass(NAME, &agency_detail(agency));
    }

    fn signature(&self, bench: &mut Bench) -> Option<SignatureChecked<'c>> {
        let Some(key) = &self.view.key else {
            bench.skip(CheckName::Signature, "the issuer's key is not known");
            return None;
        };
        match self.presentation.check_signature_once(&key.key, self.signatures) {
            Ok(checked) => {
                bench.pass(CheckName::Signature, "the issuer's key signed it");
                Some(checked)
            }
            Err(error) => {
                bench.fail(CheckName::Signature, Reason::BadSignature, &error.to_string());
                None
            }
        }
    }

    /// Whether the ledger proves, at an age that counts, that it has no such licence.
    fn ledger(&self, bench: &mut Bench) -> bool {
        const NAME: CheckName = CheckName::Ledger;
        if self.presentation.claimed_issuer().is_none() {
            bench.skip(NAME, "without an issuer it has no name on the ledger");
            return false;
        }
        let Some(licence) = &self.view.licence else {
            if self.is_stale() {
                let detail = "not there as of an old block; it may have been issued since";
                bench.doubt(NAME, Reason::StaleLedger, detail);
                return false;
            }
            // Neither passed nor anyone's proven fault: `unknown`, unless something else failed.
            bench.note(NAME, CheckResult::Fail, "the ledger proves that it has no such licence");
            return true;
        };
        match self.mismatch(licence) {
            Some(detail) => bench.fail(NAME, Reason::LedgerMismatch, detail),
            None => bench.pass(NAME, &format!("issued at height {}", licence.issued_at)),
        }
        false
    }

    /// What the credential says otherwise than its registration. An agency that may issue one
    /// type must not get another believed by registering the one and signing the other.
    fn mismatch(&self, licence: &LicenceRecord) -> Option<&'static str> {
        let version = self.presentation.claimed_type().map(|(_, version)| version);
        let same_type = self.view.licence_type.as_ref().is_some_and(|t| {
            t.index == licence.type_index && version.is_some_and(|v| v <= t.schema_version)
        });
        let same_agency =
            self.view.agency.as_ref().is_some_and(|a| a.index == licence.agency_index);
        if !same_agency {
            Some("it was registered by another agency")
        } else if licence.credential_key != self.presentation.key_id() {
            Some("it was registered with another key")
        } else if !same_type {
            Some("it was registered as another type")
        } else if !self.names_its_slot(licence) {
            Some("it names another place in the status lists than it was registered with")
        } else if self.presentation.claimed_expires().map(last_month) != licence.expiry {
            Some("it ends in another month than it was registered with")
        } else {
            None
        }
    }

    /// Whether stock software, which reads the status where the credential says, reads this
    /// licence's. Otherwise its revocation would reach nobody, or somebody else.
    fn names_its_slot(&self, licence: &LicenceRecord) -> bool {
        let (list, index) = slot_list(licence.slot);
        let Some(status) = self.presentation.claimed_status() else { return false };
        let uri = self.view.province.as_ref().map(|p| p.issuer_origin.status_list(&p.code, list));
        status.index == u64::from(index) && uri.is_none_or(|uri| uri == status.uri)
    }

    fn compromise(&self, bench: &mut Bench) {
        const NAME: CheckName = CheckName::Compromise;
        let view = self.view;
        let Some(key) = &view.key else {
            return bench.skip(NAME, "the issuer's key is not known");
        };
        let compromised = match (&view.licence, &view.transaction_key) {
            (Some(licence), Some(signer)) => {
                key.is_compromised_at(licence.issued_at)
                    || signer.is_compromised_at(licence.issued_at)
            }
            (Some(_), None) => {
                let detail = "the key that registered it was not read";
                return bench.doubt(NAME, Reason::LedgerUnavailable, detail);
            }
            // Not registered: nothing says that it was signed before the key was lost.
            (None, _) => key.compromised_from.is_some(),
        };
        if compromised {
            let detail = "issued with a key that may have been in other hands";
            bench.fail(NAME, Reason::IssuerKeyCompromised, detail);
        } else {
            bench.pass(NAME, "no key behind it was in other hands when it was issued");
        }
    }

    fn status(&self, bench: &mut Bench) {
        const NAME: CheckName = CheckName::Status;
        let Some(licence) = &self.view.licence else {
            return bench.skip(NAME, "the ledger has no such licence");
        };
        if let Some(listed) = self.listed() {
            return match listed.ruling() {
                Ruling::Pass(detail) => bench.pass(NAME, &detail),
                Ruling::Fail(reason, detail) => bench.fail(NAME, reason, &detail),
                Ruling::Doubt(reason, detail) => bench.doubt(NAME, reason, &detail),
            };
        }
        if self.is_stale() && !licence.status.is_final() {
            let word = licence.status.name();
            let detail = format!("{word} as of an old block; it may have changed since");
            return bench.doubt(NAME, Reason::StaleLedger, &detail);
        }
        let height = licence.changed_at;
        let mut fail = |reason, what: &str| {
            bench.fail(NAME, reason, &format!("{what} at height {height}"));
        };
        match licence.status {
            LicenceStatus::Active => bench.pass(NAME, "active"),
            LicenceStatus::Suspended => fail(Reason::Suspended, "suspended"),
            LicenceStatus::TransferPending { .. } => {
                fail(Reason::TransferPending, "released to another agency");
            }
            LicenceStatus::Superseded { .. } => fail(Reason::Superseded, "superseded"),
            LicenceStatus::Revoked { class } => {
                fail(Reason::Revoked, &format!("revoked ({})", class.name()));
            }
        }
    }

    fn dates(&self, checked: Option<SignatureChecked<'_>>, bench: &mut Bench) {
        const NAME: CheckName = CheckName::Dates;
        let Some(checked) = checked else {
            return bench.skip(NAME, "its dates are not known to be the issuer's");
        };
        if self.request.is_before_window() {
            let detail = "asked for a time before what this node keeps";
            return bench.doubt(NAME, Reason::BeforeRetainedWindow, detail);
        }
        let at = self.request.at_ms() / 1_000;
        let day = date::day_of(at);
        if checked.not_before().is_some_and(|from| at < from) {
            let detail = format!("not yet valid on {day}");
            bench.fail(NAME, Reason::NotYetValid, &detail);
        } else if checked.expires().is_some_and(|end| at >= end) {
            bench.fail(NAME, Reason::Expired, &format!("expired on {day}"));
        } else {
            bench.pass(NAME, &format!("valid on {day} (Beijing)"));
        }
    }

    /// Whether the holder signed this presentation, for this request, and lately.
    fn holder_binding(
        &self,
        checked: Option<SignatureChecked<'_>>,
        bench: &mut Bench,
    ) -> HolderFinding {
        let finding = match checked {
            Some(checked) => holder(checked, self.request),
            None => HolderFinding::skipped("the holder's key is not known to be the issuer's word"),
        };
        match finding.reason {
            Some(reason) => bench.fail(CheckName::HolderBinding, reason, &finding.detail),
            None => bench.note(CheckName::HolderBinding, finding.result, &finding.detail),
        }
        finding
    }
}

fn disclosures(
    checked: SignatureChecked<'_>,
    licence_type: Option<&LicenceTypeRecord>,
    bench: &mut Bench,
) -> Option<Disclosed> {
    match checked.disclose() {
        Ok(disclosed) if shows_forbidden(&disclosed, licence_type) => {
            let detail = "a claim is shown that the catalogue forbids to show";
            bench.fail(CheckName::Disclosures, Reason::BadDisclosure, detail);
            None
        }
        Ok(disclosed) => {
            let (shown, withheld) = (disclosed.claims().len(), disclosed.withheld());
            let detail = format!("{shown} claims shown, {withheld} withheld");
            bench.pass(CheckName::Disclosures, &detail);
            Some(disclosed)
        }
        Err(error) => {
            bench.fail(CheckName::Disclosures, Reason::BadDisclosure, &error.to_string());
            None
        }
    }
}

fn shows_forbidden(disclosed: &Disclosed, licence_type: Option<&LicenceTypeRecord>) -> bool {
    let claims = licence_type.map_or(&[][..], |t| &t.claims);
    let mut forbidden = claims.iter().filter(|c| c.disclosure == Disclosure::Never);
    forbidden.any(|c| disclosed.claims().contains_key(c.key.as_str()))
}

/// Whether the key was registered and in its span at `height`; compromise is another check.
fn held_at(key: &KeyRecord, height: u64) -> bool {
    key.valid_from <= height && key.valid_until.is_none_or(|until| height <= until)
}

/// The month of a licence's last day, from its `exp`.
fn last_month(expires: u64) -> Month {
    date::month_of(date::day_of(expires.saturating_sub(1)))
}

fn agency_detail(agency: &AgencyRecord) -> String {
    match agency.status {
        AgencyStatus::Active => "the agency and its key were registered".to_owned(),
        AgencyStatus::Suspended | AgencyStatus::Deregistered => format!(
            "the agency and its key were registered; the agency is {} now, \
             which leaves the licences that it issued as they are",
            agency.status.name()
        ),
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
