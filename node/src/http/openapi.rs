//! The interface's own description: OpenAPI made from the routes, and a page to browse it that
//! needs nothing from the network.

use serde::Serialize;
use symbolon_verify::verdict::{
    CheckName, CheckResult, LedgerStatus, Outcome, Reason, RecognitionReason,
};
use utoipa::{
    OpenApi, ToSchema,
    openapi::{
        Content, KnownFormat, ObjectBuilder, Ref, RefOr, Response, Schema, SchemaFormat,
        path::{Operation, PathItem},
        schema::Type,
    },
};

use super::error::PROBLEM_JSON;

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
        (name = "compatibility", description = "The national shared service's shapes, for systems \
            that speak them: docs/reference/compat.md"),
        (name = "registries", description = "Provinces, agencies, licence types, recognition"),
        (name = "chain", description = "Blocks, certificates, events, this node"),
        (name = "stock software", description = "What SD-JWT software asks for that does not \
            know the ledger"),
    ),
    components(schemas(super::events::BlockEvent)),
)]
pub(super) struct Description;

/// Refusals that any address may give, each by its status and when.
const COMMON_REFUSALS: [(&str, &str); 3] = [
    ("405", "The address does not take this method"),
    ("500", "A fault of the node"),
    ("503", "Overloaded, or going down: come back after Retry-After seconds"),
];
/// What any address may give to a query or a path that it does not take.
const BAD_REQUEST: (&str, &str) = ("400", "A part of the address or of the query is wrong");
/// What an address that takes a body may give besides.
const BODY_REFUSALS: [(&str, &str); 4] = [
    ("400", "A part of the request is wrong"),
    ("408", "The body took too long"),
    ("413", "The body is too large"),
    ("415", "The content-type is missing or another one"),
];

/// Says of all addresses what the guard and the readers of requests do with each: refusals are
/// problem documents of their own media type, and exact bytes are bytes.
pub(super) fn complete(description: &mut utoipa::openapi::OpenApi) {
    for item in description.paths.paths.values_mut() {
        let PathItem { get, put, post, delete, options, head, patch, .. } = item;
        let operations = [get, put, post, delete, options, head, patch];
        operations.into_iter().flatten().for_each(complete_operation);
    }
}

fn complete_operation(operation: &mut Operation) {
    let mut refusals = COMMON_REFUSALS.to_vec();
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        refusals.extend(BODY_REFUSALS);
        body.content.iter_mut().for_each(|(_, content)| write_bytes(content));
    }
    refusals.push(BAD_REQUEST);
    let responses = &mut operation.responses.responses;
    for (status, when) in refusals {
        responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(Response::new(when)));
    }
    for (status, response) in responses {
        let RefOr::T(response) = response else { continue };
        if status.starts_with(['4', '5']) {
            let document = Content::new(Some(Ref::from_schema_name("Problem")));
            response.content.clear();
            response.content.insert(PROBLEM_JSON.to_owned(), RefOr::T(document));
        } else {
            response.content.iter_mut().for_each(|(_, content)| write_bytes(content));
        }
    }
}

/// Bytes are not a list of numbers, as the derived description says.
fn write_bytes(content: &mut RefOr<Content>) {
    let RefOr::T(content) = content else { return };
    if matches!(content.schema, Some(RefOr::T(Schema::Array(_)))) {
        let bytes = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
        content.schema = Some(bytes.into());
    }
}

/// An enum of the description with the variants of one of a verdict. Another list does not compile.
macro_rules! mirror {
    ($(#[$doc:meta])* $name:ident of $original:ident: $($variant:ident),+) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        #[allow(dead_code, reason = "only the description uses it")]
        pub(super) enum $name { $($variant),+ }

        impl From<$original> for $name {
            fn from(original: $original) -> Self {
                match original { $($original::$variant => Self::$variant),+ }
            }
        }
    };
}

mirror! {
    /// The four answers.
    VerdictOutcome of Outcome: Valid, Invalid, Unknown, Undetermined
}

mirror! {
    /// Why the outcome is not `valid`.
    VerdictReason of Reason: MalformedPresentation, IssuerNotAuthorised, BadSignature,
        BadDisclosure, LedgerMismatch, IssuerKeyCompromised, Revoked, Superseded, Suspended,
        TransferPending, NotYetValid, Expired, BadHolderBinding, StalePresentation, Replayed,
        NotOnLedger, StaleLedger, LedgerUnavailable, BeforeRetainedWindow
}

mirror! {
    /// What the ledger says of the licence.
    VerdictLedgerStatus of LedgerStatus: Active, Suspended, TransferPending, Superseded, Revoked,
        None
}

mirror! {
    /// Why a licence is recognised, or is not.
    VerdictRecognitionReason of RecognitionReason: OwnProvince, National, Agreement, NoAgreement,
        AgreementNotInForce, NotDetermined
}

mirror! {
    /// The checks, in the order in which they run.
    VerdictCheckName of CheckName: Format, IssuerKey, Signature, Disclosures, Ledger, Compromise,
        Status, Dates, HolderBinding
}

mirror! {
    /// How a check went.
    VerdictCheckResult of CheckResult: Pass, Fail, Skipped
}

/// A verdict, as [`symbolon_verify::verdict::Verdict`] is written. Only the description uses it;
/// tests hold the two together, to the last member.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Verdict)]
#[allow(dead_code)]
pub(super) struct VerdictBody {
    /// The answer.
    outcome: VerdictOutcome,
    /// Why; absent when valid.
    #[schema(required = false)]
    reason: Option<VerdictReason>,
    /// What the ledger says of the licence.
    ledger_status: VerdictLedgerStatus,
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
    /// Why.
    reason: VerdictRecognitionReason,
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
    /// The value, exactly as the issuer signed it.
    value: String,
    /// The value as people are shown it: masked as its class demands, with characters that do
    /// not show written out.
    display: String,
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
    /// Which.
    name: VerdictCheckName,
    /// How it went.
    result: VerdictCheckResult,
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
