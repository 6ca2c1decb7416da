//! The verdict in a sentence or two, in Chinese and English. Non-recognition comes first: it is
//! what the person at the counter must not overlook, and it is no fault of the licence.

use symbolon_ledger::records::ProvinceRecord;

use crate::{
    judge::Request,
    verdict::{Message, Outcome, Reason, Recognised, RecognitionReason},
    view::LedgerView,
};

/// The message of a verdict.
pub(crate) fn message(
    outcome: Outcome,
    reason: Option<Reason>,
    recognised: Recognised,
    request: &Request,
    view: Option<&LedgerView>,
) -> Message {
    let asking = view.and_then(|v| v.asking_province.as_ref());
    let (first_zh, first_en) = non_recognition(recognised, request, asking);
    let (zh, en) = answer(outcome, reason, view);
    Message { zh: format!("{first_zh}{zh}"), en: format!("{first_en}{en}") }
}

/// Adds what a person must still do when nobody's signature binds the licence to its bearer.
pub(crate) fn with_holder(
    message: Message,
    outcome: Outcome,
    holder_bound: Option<bool>,
) -> Message {
    match (outcome, holder_bound) {
        (Outcome::Valid, Some(true)) => Message {
            zh: format!("{}持证人已签名确认本次出示。", message.zh),
            en: format!("{} The holder signed this presentation.", message.en),
        },
        (Outcome::Valid, _) => Message {
            zh: format!("{}未核验持证人，请核对本人。", message.zh),
            en: format!("{} The holder is not verified: compare the person.", message.en),
        },
        _ => message,
    }
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

fn answer(outcome: Outcome, reason: Option<Reason>, view: Option<&LedgerView>) -> (String, String) {
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
        Reason::BadDisclosure => {
            ("出示的信息不是签发机关签名的内容", "what is shown is not what the issuer signed")
        }
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
        _ => ("请一分钟后重试，或改问其他节点", "Ask again in a minute, or ask another node"),
    }
}
