//! The verdict in a sentence or two, in Chinese and English. Non-recognition comes first: it is
//! what the person at the counter must not overlook, and it is no fault of the licence.

use symbolon_ledger::records::ProvinceRecord;

use crate::{
    judge::Request,
    verdict::{Message, Outcome, Reason, Recognised, RecognitionReason},
    view::LedgerView,
};

/// What is known of the person who shows a valid licence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The holder signed this presentation.
    Signed,
    /// The credential names a holder's key, and nobody signed with it.
    Silent,
    /// The credential names no holder's key.
    Paper,
}

impl Holder {
    pub(crate) fn of(bound: Option<bool>, paper: bool) -> Self {
        match bound {
            Some(true) => Self::Signed,
            _ if paper => Self::Paper,
            _ => Self::Silent,
        }
    }
}

/// Two parts of a message, one after the other.
pub(crate) fn joined(first: &Message, second: &Message) -> Message {
    Message { zh: format!("{}{}", first.zh, second.zh), en: format!("{}{}", first.en, second.en) }
}

/// Adds to the message of a valid licence what is known of its bearer, and what a person must
/// still do when no signature says that it is the holder.
pub(crate) fn with_holder(message: &mut Message, holder: Holder) {
    let (zh, en) = match holder {
        Holder::Signed => ("持证人已签名确认本次出示。", " The holder signed this presentation."),
        Holder::Silent => {
            ("未核验持证人，请核对本人。", " The holder is not verified: compare the person.")
        }
        Holder::Paper => (
            "纸质版不含持证人密钥，未核验持证人，请核对本人。",
            " A paper licence has no holder's key, so the holder is not verified: compare the person.",
        ),
    };
    message.zh.push_str(zh);
    message.en.push_str(en);
}

/// What the message begins with: that the asking province does not recognise the licence. Empty
/// when it does, and when that cannot be said.
pub(crate) fn lead(
    recognised: Recognised,
    request: &Request,
    view: Option<&LedgerView>,
) -> Message {
    let asking = view.and_then(|v| v.asking_province.as_ref());
    let (zh, en) = non_recognition(recognised, request, asking);
    Message { zh, en }
}

/// The outcome and its reason.
pub(crate) fn answer(
    outcome: Outcome,
    reason: Option<Reason>,
    view: Option<&LedgerView>,
) -> Message {
    let (zh, en) = words(outcome, reason, view);
    Message { zh, en }
}

/// That the asking province does not recognise such licences, or nothing.
pub(crate) fn non_recognition(
    recognised: Recognised,
    request: &Request,
    asking: Option<&ProvinceRecord>,
) -> (String, String) {
    let code = request.recognising_province;
    let zh = asking.map_or_else(|| code.to_string(), |p| p.name_zh.to_string());
    let en = asking.map_or_else(|| format!("province {code}"), |p| p.name_en.to_string());
    let (why_zh, why_en) = match recognised.reason {
        RecognitionReason::NoAgreement => ("没有互认协议", "there is no agreement"),
        RecognitionReason::AgreementNotInForce => {
            ("互认协议当日未生效", "the agreement is not in force on that day")
        }
        _ => return (String::new(), String::new()),
    };
    (format!("{zh}不承认该证照：{why_zh}。"), format!("Not recognised in {en}: {why_en}. "))
}

fn words(outcome: Outcome, reason: Option<Reason>, view: Option<&LedgerView>) -> (String, String) {
    match (outcome, reason) {
        (Outcome::Valid, _) | (_, None) => valid(view),
        (Outcome::Invalid, Some(reason)) => {
            let (zh, en) = texts(reason);
            (format!("无效：{zh}。"), format!("Invalid: {en}."))
        }
        (Outcome::Unknown, Some(_)) => (
            "未知：签名无误，但账本证明没有登记过该证照。请向签发机关核实。".to_owned(),
            "Unknown: the signature holds, but the ledger proves that it has no such licence. \
             Ask the issuing agency."
                .to_owned(),
        ),
        (Outcome::Undetermined, Some(reason)) => {
            let (zh, en) = texts(reason);
            let (next_zh, next_en) = next_step(reason);
            (
                format!("暂时无法判定：{zh}。这不表示证照无效。{next_zh}。"),
                format!(
                    "Cannot be decided now: {en}. This does not mean that the licence is invalid. {next_en}."
                ),
            )
        }
    }
}

fn valid(view: Option<&LedgerView>) -> (String, String) {
    let licence_type = view.and_then(|v| v.licence_type.as_ref());
    let agency = view.and_then(|v| v.agency.as_ref());
    match (licence_type, agency) {
        (Some(t), Some(a)) => (
            format!("证照有效：{}，由{}签发。", t.name_zh, a.name),
            format!("The licence is valid: {}, issued by {}.", t.name_en, a.name),
        ),
        _ => ("证照有效。".to_owned(), "The licence is valid.".to_owned()),
    }
}

/// The reason, in words.
fn texts(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::MalformedPresentation => {
            ("提交的内容不是证照出示文本", "what was submitted is not a presentation of a licence")
        }
        Reason::IssuerNotAuthorised => (
            "签发机关或其密钥未登记，或无权签发",
            "the issuer or its key is not registered for this",
        ),
        Reason::BadSignature => ("签发机关的签名不符", "the issuer's signature does not match"),
        Reason::BadDisclosure => (
            "出示的信息不是签发机关签名的内容，或属于不得出示的信息",
            "what is shown is not what the issuer signed, or may not be shown",
        ),
        Reason::LedgerMismatch => {
            ("证照内容与账本登记不一致", "the credential disagrees with its registration")
        }
        Reason::IssuerKeyCompromised => (
            "签发时所用密钥可能已被盗用",
            "it was issued with a key that may have been in other hands",
        ),
        Reason::Revoked => ("证照已被吊销、撤销或注销", "it is revoked"),
        Reason::Superseded => {
            ("证照已被新证取代，请出示新证", "it is superseded; ask for its successor")
        }
        Reason::Suspended => ("证照已被暂扣", "it is suspended"),
        Reason::TransferPending => {
            ("证照正在转往其他机关", "it is being transferred to another agency")
        }
        Reason::NotYetValid => ("证照尚未生效", "its first day of validity is yet to come"),
        Reason::Expired => ("证照已过有效期", "it has expired"),
        Reason::BadHolderBinding => {
            ("持证人签名不符", "the holder's signature does not match this request")
        }
        Reason::StalePresentation => (
            "出示已过时，请持证人重新出示",
            "the presentation is not fresh; ask the holder to show it anew",
        ),
        Reason::Replayed => (
            "该出示已被使用过，请持证人重新出示",
            "this presentation was used before; ask the holder to show it anew",
        ),
        Reason::NotOnLedger => ("账本没有登记过该证照", "the ledger has no such licence"),
        Reason::StaleLedger => {
            ("本节点的账本数据不够新", "this node's state of the ledger is too old")
        }
        Reason::LedgerUnavailable => ("暂时读不到账本", "the ledger cannot be read now"),
        Reason::BeforeRetainedWindow => {
            ("所问时间早于本节点保留的数据", "the time asked for is before what this node keeps")
        }
    }
}

/// What to do about an answer that could not be given.
fn next_step(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::BeforeRetainedWindow => (
            "请改问较近的日期，或向保留更久数据的节点查询",
            "Ask for a later date, or ask a node that keeps more",
        ),
        Reason::StalePresentation => (
            "如持证人签的是验证方给出的随机数，请先换一个新的",
            "If the holder signed a challenge, make a new one first",
        ),
        _ => ("请一分钟后重试，或改问其他节点", "Ask again in a minute, or ask another node"),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    /// Every reason, with the outcome that it goes with.
    const REASONS: [(Outcome, Reason); 20] = [
        (Outcome::Invalid, Reason::MalformedPresentation),
        (Outcome::Invalid, Reason::IssuerNotAuthorised),
        (Outcome::Invalid, Reason::BadSignature),
        (Outcome::Invalid, Reason::BadDisclosure),
        (Outcome::Invalid, Reason::LedgerMismatch),
        (Outcome::Invalid, Reason::IssuerKeyCompromised),
        (Outcome::Invalid, Reason::Revoked),
        (Outcome::Invalid, Reason::Superseded),
        (Outcome::Invalid, Reason::Suspended),
        (Outcome::Invalid, Reason::TransferPending),
        (Outcome::Invalid, Reason::NotYetValid),
        (Outcome::Invalid, Reason::Expired),
        (Outcome::Invalid, Reason::BadHolderBinding),
        (Outcome::Invalid, Reason::StalePresentation),
        (Outcome::Invalid, Reason::Replayed),
        (Outcome::Unknown, Reason::NotOnLedger),
        (Outcome::Undetermined, Reason::StaleLedger),
        (Outcome::Undetermined, Reason::LedgerUnavailable),
        (Outcome::Undetermined, Reason::BeforeRetainedWindow),
        (Outcome::Undetermined, Reason::StalePresentation),
    ];

    #[test]
    fn every_reason_is_said_in_both_languages() {
        let mut table = String::new();
        for (outcome, reason) in REASONS {
            let Message { zh, en } = answer(outcome, Some(reason), None);
            table.push_str(&format!("{reason:?}\n  {zh}\n  {en}\n"));
            let blurred = outcome == Outcome::Undetermined && en.contains("Invalid:");
            assert!(!blurred, "{reason:?} is shown as invalid");
        }
        expect![[r#"
            MalformedPresentation
              无效：提交的内容不是证照出示文本。
              Invalid: what was submitted is not a presentation of a licence.
            IssuerNotAuthorised
              无效：签发机关或其密钥未登记，或无权签发。
              Invalid: the issuer or its key is not registered for this.
            BadSignature
              无效：签发机关的签名不符。
              Invalid: the issuer's signature does not match.
            BadDisclosure
              无效：出示的信息不是签发机关签名的内容，或属于不得出示的信息。
              Invalid: what is shown is not what the issuer signed, or may not be shown.
            LedgerMismatch
              无效：证照内容与账本登记不一致。
              Invalid: the credential disagrees with its registration.
            IssuerKeyCompromised
              无效：签发时所用密钥可能已被盗用。
              Invalid: it was issued with a key that may have been in other hands.
            Revoked
              无效：证照已被吊销、撤销或注销。
              Invalid: it is revoked.
            Superseded
              无效：证照已被新证取代，请出示新证。
              Invalid: it is superseded; ask for its successor.
            Suspended
              无效：证照已被暂扣。
              Invalid: it is suspended.
            TransferPending
              无效：证照正在转往其他机关。
              Invalid: it is being transferred to another agency.
            NotYetValid
              无效：证照尚未生效。
              Invalid: its first day of validity is yet to come.
            Expired
              无效：证照已过有效期。
              Invalid: it has expired.
            BadHolderBinding
              无效：持证人签名不符。
              Invalid: the holder's signature does not match this request.
            StalePresentation
              无效：出示已过时，请持证人重新出示。
              Invalid: the presentation is not fresh; ask the holder to show it anew.
            Replayed
              无效：该出示已被使用过，请持证人重新出示。
              Invalid: this presentation was used before; ask the holder to show it anew.
            NotOnLedger
              未知：签名无误，但账本证明没有登记过该证照。请向签发机关核实。
              Unknown: the signature holds, but the ledger proves that it has no such licence. Ask the issuing agency.
            StaleLedger
              暂时无法判定：本节点的账本数据不够新。这不表示证照无效。请一分钟后重试，或改问其他节点。
              Cannot be decided now: this node's state of the ledger is too old. This does not mean that the licence is invalid. Ask again in a minute, or ask another node.
            LedgerUnavailable
              暂时无法判定：暂时读不到账本。这不表示证照无效。请一分钟后重试，或改问其他节点。
              Cannot be decided now: the ledger cannot be read now. This does not mean that the licence is invalid. Ask again in a minute, or ask another node.
            BeforeRetainedWindow
              暂时无法判定：所问时间早于本节点保留的数据。这不表示证照无效。请改问较近的日期，或向保留更久数据的节点查询。
              Cannot be decided now: the time asked for is before what this node keeps. This does not mean that the licence is invalid. Ask for a later date, or ask a node that keeps more.
            StalePresentation
              暂时无法判定：出示已过时，请持证人重新出示。这不表示证照无效。如持证人签的是验证方给出的随机数，请先换一个新的。
              Cannot be decided now: the presentation is not fresh; ask the holder to show it anew. This does not mean that the licence is invalid. If the holder signed a challenge, make a new one first.
        "#]].assert_eq(&table);
    }
}
