//! What the ledger itself says, in the words of the verdict: names, labels, recognition, "as of".
//!
//! Nothing here decides the outcome, and nothing is taken from a presentation but claims that
//! its issuer signed.

use symbolon_credential::sd_jwt::{Disclosed, IDENTIFIER_CLAIM};
use symbolon_ledger::{
    catalogue::{ClaimType, Disclosure},
    codes::Day,
    records::LicenceStatus,
};

use crate::{
    display::{FIRST_MASKED_LEVEL, display, escaped},
    instant,
    judge::Request,
    verdict::{
        AsOfBlock, Issuer, LedgerStatus, Recognised, RecognitionReason, ShownClaim, TypeName,
        Verdict,
    },
    view::{AsOf, LedgerView},
};

/// Whether the asking province recognises such licences on the day in question.
pub(crate) fn recognise(request: &Request, view: Option<&LedgerView>) -> Recognised {
    use RecognitionReason as R;
    let (value, reason) = match view {
        Some(LedgerView { agency: Some(agency), .. })
            if agency.province == request.recognising_province =>
        {
            (true, R::OwnProvince)
        }
        Some(LedgerView { licence_type: Some(t), agency: Some(_), .. }) if t.national => {
            (true, R::National)
        }
        Some(LedgerView {
            licence_type: Some(_),
            agency: Some(_),
            recognition,
            recognition_known: true,
            ..
        }) => {
            let day = Day::of_instant(request.at_ms());
            match recognition {
                Some(r) if r.intervals.iter().any(|i| i.contains(day)) => (true, R::Agreement),
                Some(r) if !r.intervals.is_empty() => (false, R::AgreementNotInForce),
                _ => (false, R::NoAgreement),
            }
        }
        _ => (false, R::NotDetermined),
    };
    Recognised { value, reason }
}

pub(crate) fn as_of_block(as_of: &AsOf) -> AsOfBlock {
    AsOfBlock {
        height: as_of.height,
        time: instant::text(as_of.time_ms),
        state_root: as_of.state_root.to_string(),
    }
}

/// What the ledger itself says of licence, type and issuer.
pub(crate) fn name_records(verdict: &mut Verdict, view: &LedgerView) {
    verdict.licence_type = view.licence_type.as_ref().map(|t| TypeName {
        code: t.code.to_string(),
        name_zh: t.name_zh.to_string(),
        name_en: t.name_en.to_string(),
    });
    verdict.issuer = view.agency.as_ref().map(|a| Issuer {
        uscc: a.uscc.to_string(),
        name: a.name.to_string(),
        province: a.province.to_string(),
    });
    let status = view.licence.as_ref().map(|l| &l.status);
    verdict.ledger_status = match status {
        None => LedgerStatus::None,
        Some(LicenceStatus::Active) => LedgerStatus::Active,
        Some(LicenceStatus::Suspended) => LedgerStatus::Suspended,
        Some(LicenceStatus::TransferPending { .. }) => LedgerStatus::TransferPending,
        Some(LicenceStatus::Superseded { .. }) => LedgerStatus::Superseded,
        Some(LicenceStatus::Revoked { .. }) => LedgerStatus::Revoked,
    };
    if let Some(LicenceStatus::Superseded { by }) = status {
        verdict.superseded_by = Some(by.to_string());
    }
}

/// The claims shown, with the catalogue's labels: first those of the catalogue, in its order.
pub(crate) fn shown_claims(disclosed: &Disclosed, view: &LedgerView) -> Vec<ShownClaim> {
    let specs = view.licence_type.as_ref().map_or(&[][..], |t| &t.claims);
    let claims = disclosed.claims();
    let known = specs.iter().filter(|s| s.disclosure != Disclosure::Never).filter_map(|spec| {
        claims.get(spec.key.as_str()).map(|value| ShownClaim {
            key: spec.key.to_string(),
            label_zh: spec.label_zh.to_string(),
            label_en: spec.label_en.to_string(),
            value: value.clone(),
            display: display(value, &spec.value, spec.sensitivity),
        })
    });
    let listed = |key: &String| specs.iter().any(|s| s.key.as_str() == *key);
    let other = claims.iter().filter(|(key, _)| !listed(key));
    known.chain(other.map(|(key, value)| unlisted(key, value))).collect()
}

/// A claim that the catalogue does not know: its class is not known either, so it is masked. The
/// identifier is a document's number, which the person at the counter compares.
fn unlisted(key: &str, value: &str) -> ShownClaim {
    let (label_zh, label_en, sensitivity) = match key {
        IDENTIFIER_CLAIM => ("证照标识".to_owned(), "licence identifier".to_owned(), 1),
        key => (escaped(key), escaped(key), FIRST_MASKED_LEVEL),
    };
    ShownClaim {
        key: key.to_owned(),
        label_zh,
        label_en,
        value: value.to_owned(),
        display: display(value, &ClaimType::Text { max: u32::MAX }, sensitivity),
    }
}
