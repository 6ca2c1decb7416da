//! Type metadata: a licence type in the form that SD-JWT VC software shows and checks
//! (draft-ietf-oauth-sd-jwt-vc-25, section 5).
//!
//! It is the catalogue entry of the ledger and nothing more, so every node gives the same bytes.
//! Credentials carry no `vct#integrity`: docs/spec/credential.md says why.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use symbolon_credential::sd_jwt::IDENTIFIER_CLAIM;
use symbolon_ledger::{
    catalogue::{ClaimSpec, Disclosure, LicenceTypeRecord},
    codes::TypeCode,
    state::StateKey,
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    error::{Problem, ProblemDocument},
    extract::{LICENCE_TYPES, Named, PathPart},
    kept::UNCHANGING,
};
use crate::storage::View;

/// How long the entry that stands may be kept: it changes by a vote of the provinces, and then has
/// another version.
const CACHE: &str = "public, max-age=3600";
const ZH: &str = "zh-CN";
const EN: &str = "en";

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::default().routes(routes!(get_type_metadata))
}

/// A type in a path: its code, with or without the version of the entry.
#[derive(Debug, Clone)]
pub(super) struct TypePart {
    code: TypeCode,
    version: Option<u32>,
}

impl PathPart for TypePart {
    fn read(text: &str) -> Result<Self, Problem> {
        // Codes have colons of their own, so only what is left of a version must be one.
        if let Some((code, number)) = text.rsplit_once(':')
            && let Ok(code) = code.parse()
            && let Some(version) = number.parse().ok().filter(|n: &u32| n.to_string() == number)
        {
            return Ok(Self { code, version: Some(version) });
        }
        Ok(Self { code: TypeCode::read(text)?, version: None })
    }
}

/// Type metadata of an SD-JWT VC.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct TypeMetadata {
    /// The `vct` that it describes.
    vct: String,
    /// English name, for developers.
    name: String,
    /// What it rests on, for developers.
    description: String,
    /// The name in both languages.
    display: Vec<TypeDisplay>,
    /// Its claims, in the order of display.
    claims: Vec<ClaimMetadata>,
}

/// A type's name in a language.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct TypeDisplay {
    /// `zh-CN` or `en`.
    locale: &'static str,
    /// The name.
    name: String,
}

/// A claim of the type.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ClaimMetadata {
    /// Where it stands in the credential.
    path: Vec<String>,
    /// Its label in both languages.
    display: Vec<ClaimDisplay>,
    /// Whether every licence of the type has it.
    mandatory: bool,
    /// `always` when it is behind a digest and may be withheld, `never` when it stands open.
    sd: &'static str,
}

/// A claim's label in a language.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ClaimDisplay {
    /// `zh-CN` or `en`.
    locale: &'static str,
    /// The label.
    label: String,
}

fn labels(zh: &str, en: &str) -> Vec<ClaimDisplay> {
    let label = |locale, label: &str| ClaimDisplay { locale, label: label.to_owned() };
    vec![label(ZH, zh), label(EN, en)]
}

fn claim(claim: &ClaimSpec) -> ClaimMetadata {
    ClaimMetadata {
        path: vec![claim.key.to_string()],
        display: labels(claim.label_zh.as_str(), claim.label_en.as_str()),
        mandatory: claim.mandatory,
        // The catalogue says what a holder shows, the metadata how the issuer writes it: what is
        // always shown stands open, and everything else is behind a digest.
        sd: match claim.disclosure {
            Disclosure::Always => "never",
            Disclosure::Allowed | Disclosure::Never => "always",
        },
    }
}

/// The claim that carries the national identifier, which no catalogue entry lists.
fn identifier() -> ClaimMetadata {
    ClaimMetadata {
        path: vec![IDENTIFIER_CLAIM.to_owned()],
        display: labels("电子证照标识", "E-licence identifier"),
        mandatory: true,
        sd: "always",
    }
}

fn metadata(entry: &LicenceTypeRecord) -> TypeMetadata {
    let name = |locale, name: &str| TypeDisplay { locale, name: name.to_owned() };
    let mut claims: Vec<ClaimMetadata> = entry.claims.iter().map(claim).collect();
    if !entry.code.is_local() {
        claims.push(identifier());
    }
    TypeMetadata {
        vct: entry.vct(),
        name: entry.name_en.to_string(),
        description: format!(
            "Entry {} of the licence catalogue, version {}. Source of the code: {}",
            entry.code, entry.schema_version, entry.source
        ),
        display: vec![name(ZH, entry.name_zh.as_str()), name(EN, entry.name_en.as_str())],
        claims,
    }
}

/// The type metadata of a licence type: its names and claims, for SD-JWT VC software.
#[utoipa::path(get, path = "/vct/{type}", tag = "stock software",
    params(("type" = String, Path,
        description = "What follows urn:elic: in vct: the code, with or without : and the version")),
    responses((status = 200, body = TypeMetadata), (status = 400, body = ProblemDocument),
        (status = 404, body = ProblemDocument)))]
pub(super) async fn get_type_metadata(
    State(server): State<Arc<Server>>,
    Named(TypePart { code, version }): Named<TypePart>,
) -> Result<Response, Problem> {
    let look = move |view: &View<'_>| {
        let detail = format!("no licence type {code}");
        let entry: Option<LicenceTypeRecord> = view.record(&StateKey::LicenceType(code))?;
        let entry = entry.ok_or_else(|| {
            Problem::missing("unknown_licence_type", detail, LICENCE_TYPES).at(view.tip().height)
        })?;
        match version {
            Some(version) if version != entry.schema_version => {
                let current = entry.schema_version;
                let detail = format!("the entry's version is {current}, not {version}");
                let hint = "leave the version out to get the one that stands";
                let problem = Problem::missing("unknown_type_version", detail, hint);
                Err(problem.at(view.tip().height))
            }
            _ => Ok(metadata(&entry)),
        }
    };
    let metadata = server.read(look).await?;
    let mut response = Json(metadata).into_response();
    // Whatever has changed has another version, and so another address.
    let cache = if version.is_some() { UNCHANGING } else { CACHE };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_told_from_a_colon_of_the_code() {
        let check = |text: &str, expected: Option<(&str, Option<u32>)>| {
            let read = TypePart::read(text).ok().map(|p| (p.code.to_string(), p.version));
            assert_eq!(read, expected.map(|(c, v)| (c.to_owned(), v)), "{text}");
        };
        check("local:driving-licence", Some(("local:driving-licence", None)));
        check("local:driving-licence:1", Some(("local:driving-licence", Some(1))));
        check("local:7", Some(("local:7", None)));
        check("local:7:2", Some(("local:7", Some(2))));
        check("11100000MB0143028R001", Some(("11100000MB0143028R001", None)));
        check("11100000MB0143028R001:12", Some(("11100000MB0143028R001", Some(12))));
        for bad in ["", "1", "local:a:01", "local:a:+1", "local:a:", "urn:elic:local:a:1"] {
            check(bad, None);
        }
    }
}
