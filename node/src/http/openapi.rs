//! The interface's own description: OpenAPI made from the routes, and a page to browse it that
//! needs nothing from the network.

use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

/// Where the description lies.
pub(super) const DESCRIPTION_PATH: &str = "/openapi.json";
/// Where it can be browsed.
pub(super) const BROWSER_PATH: &str = "/docs";

/// The description's head; the routes add themselves.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Symbolon node",
        description = "An electronic-licence ledger: submit licence events, read the ledger with \
            proofs, verify presented licences. Hashes, ids and cids are 64 lower-case hexadecimal \
            digits; byte strings are base64url without padding; times are RFC 3339. Every refusal \
            is a problem document (RFC 9457) with a stable code and a hint.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "transactions", description = "Submitting, and what became of it"),
        (name = "licences", description = "What the ledger says of a licence"),
        (name = "verification", description = "Is this presented licence good?"),
        (name = "registries", description = "Provinces, agencies, licence types, recognition"),
        (name = "chain", description = "Blocks, certificates, events, this node"),
        (name = "stock software", description = "What SD-JWT software asks for that does not \
            know the ledger"),
    ),
    components(schemas(super::events::BlockEvent)),
)]
pub(super) struct Description;

/// A verdict, as [`symbolon_verify::verdict::Verdict`] is written. Only the description uses it;
/// a test holds the two together.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Verdict)]
#[allow(dead_code)]
pub(super) struct VerdictBody {
    /// `valid`, `invalid`, `unknown` or `undetermined`.
    outcome: String,
    /// Why; absent when valid.
    #[schema(required = false)]
    reason: Option<String>,
    /// `active`, `suspended`, `transfer_pending`, `superseded`, `revoked` or `none`.
    ledger_status: String,
    /// Whether the asking province recognises such licences. Never changes the outcome.
    recognised: RecognisedBody,
    /// Whether the holder signed this presentation; null when no signature was presented.
    holder_bound: Option<bool>,
    /// The licence's name on the ledger.
    cid: Option<String>,
    /// Its type, from the ledger.
    licence_type: Option<VerdictType>,
    /// Its issuer, from the ledger.
    issuer: Option<VerdictIssuer>,
    /// What was shown and signed by the issuer.
    claims: Vec<VerdictClaim>,
    /// First day, `YYYY-MM-DD`.
    valid_from: Option<String>,
    /// Last day; null for no expiry.
    valid_until: Option<String>,
    /// Its successor, when it is superseded.
    superseded_by: Option<String>,
    /// The block that the verdict rests on.
    as_of: Option<VerdictBlock>,
    /// Every check, in order.
    checks: Vec<VerdictCheck>,
    /// The answer in a sentence or two.
    message: VerdictMessage,
    /// State proof of the records behind it, base64url.
    proof: Option<String>,
}

/// Whether the asking province recognises such licences.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VerdictRecognised)]
pub(super) struct RecognisedBody {
    /// Whether it does.
    value: bool,
    /// Why: `own_province`, `national`, `agreement`, `no_agreement`, `agreement_not_in_force` or
    /// `not_determined`.
    reason: String,
}

/// A licence type by name.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VerdictType {
    code: String,
    name_zh: String,
    name_en: String,
}

/// An issuer by name.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VerdictIssuer {
    uscc: String,
    name: String,
    province: String,
}

/// A claim that was shown.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VerdictClaim {
    key: String,
    label_zh: String,
    label_en: String,
    value: String,
}

/// The block that a verdict rests on.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VerdictBlock {
    height: u64,
    time: String,
    state_root: String,
}

/// One check.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VerdictCheck {
    /// `format`, `issuer_key`, `signature`, `disclosures`, `ledger`, `compromise`, `status`,
    /// `dates` or `holder_binding`.
    name: String,
    /// `pass`, `fail` or `skipped`.
    result: String,
    detail: String,
}

/// A sentence in two languages.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VerdictMessage {
    zh: String,
    en: String,
}

#[cfg(test)]
mod tests {
    use symbolon_verify::judge::{Request, malformed};

    use super::*;

    #[test]
    fn the_description_of_a_verdict_has_its_members() {
        let request = Request {
            recognising_province: "11".parse().unwrap(),
            audience: None,
            nonce: None,
            now_ms: 1,
            at_ms: None,
            earliest_at_ms: None,
            max_staleness_ms: 1,
        };
        let error = symbolon_credential::sd_jwt::Parsed::parse("").unwrap_err();
        let verdict = serde_json::to_value(malformed(&error, &request)).unwrap();
        let described = serde_json::to_value(<VerdictBody as utoipa::PartialSchema>::schema());
        let described = described.unwrap();
        let members = |value: &serde_json::Value| {
            let names = value.as_object().unwrap().keys().cloned();
            names.collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(members(&verdict), members(&described["properties"]));
    }
}
