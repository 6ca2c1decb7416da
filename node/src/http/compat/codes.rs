//! The reply codes: those in use at the shared service, and two of this network's own.

use std::borrow::Cow;

use symbolon_verify::verdict::{Outcome, Reason, Verdict};

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// The question is answered; for a licence, it stands.
    Done,
    /// The ledger has no such licence.
    NotFound,
    /// This part of the request is missing.
    Missing(&'static str),
    /// The catalogue has no such type.
    UnknownType,
    /// Revoked or superseded.
    Ended,
    /// Past its last day.
    Expired,
    /// Suspended, or being transferred.
    Restricted,
    /// Not the form of a type code.
    BadTypeCode,
    /// The presentation is proven wrong in another way, named here.
    Wrong(Reason),
    /// It cannot be decided now. A code far from all others, so that it is not taken for a no.
    Undetermined,
}

impl Reply {
    /// What a verdict means in these codes.
    pub(super) fn of(verdict: &Verdict) -> Self {
        match (verdict.outcome, verdict.reason) {
            (Outcome::Valid, _) => Self::Done,
            (Outcome::Unknown, _) => Self::NotFound,
            (Outcome::Undetermined, _) | (Outcome::Invalid, None) => Self::Undetermined,
            (Outcome::Invalid, Some(reason)) => match reason {
                Reason::Revoked | Reason::Superseded => Self::Ended,
                Reason::Expired => Self::Expired,
                Reason::Suspended | Reason::TransferPending => Self::Restricted,
                other => Self::Wrong(other),
            },
        }
    }

    /// The number.
    pub(super) const fn code(self) -> u16 {
        match self {
            Self::Done => 0,
            Self::NotFound => 10,
            Self::Missing(_) => 12,
            Self::UnknownType => 13,
            Self::Ended => 21,
            Self::Expired => 22,
            Self::Restricted => 23,
            Self::BadTypeCode => 113,
            Self::Wrong(_) => 901,
            Self::Undetermined => 902,
        }
    }

    /// The words.
    pub(super) fn message(self) -> String {
        let text: Cow<'static, str> = match self {
            Self::Done => "成功 / done".into(),
            Self::NotFound => "未找到该证照 / no such licence".into(),
            Self::Missing(name) => format!("缺少参数 {name} / {name} is missing").into(),
            Self::UnknownType => "证照类型不存在或未发布 / no such licence type".into(),
            Self::Ended => "证照已注销、撤销、吊销或被新证取代 / revoked or superseded".into(),
            Self::Expired => "证照已过有效期 / expired".into(),
            Self::Restricted => "证照被暂扣或正在转移，限制使用 / suspended or being transferred".into(),
            Self::BadTypeCode => "证照类型代码格式错误 / a bad licence type code".into(),
            Self::Wrong(reason) => {
                format!("出示内容经核验不成立 / proven wrong: {}", word(reason)).into()
            }
            Self::Undetermined => {
                "暂时无法判定，请稍后重试，这不表示证照无效 / cannot be decided now; try again, this is not a no".into()
            }
        };
        text.into_owned()
    }
}

/// A reason's stable word.
fn word(reason: Reason) -> String {
    let value = serde_json::to_value(reason).ok();
    value.and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_replies_share_a_code_and_the_national_ones_are_kept() {
        let replies = [
            (Reply::Done, 0),
            (Reply::NotFound, 10),
            (Reply::Missing("useCause"), 12),
            (Reply::UnknownType, 13),
            (Reply::Ended, 21),
            (Reply::Expired, 22),
            (Reply::Restricted, 23),
            (Reply::BadTypeCode, 113),
            (Reply::Wrong(Reason::BadSignature), 901),
            (Reply::Undetermined, 902),
        ];
        for (reply, code) in replies {
            assert_eq!(reply.code(), code);
            assert!(reply.message().contains(" / "), "{reply:?} has both languages");
        }
        assert!(Reply::Wrong(Reason::BadSignature).message().ends_with("bad_signature"));
    }
}
