//! Large bodies: read within a budget of bytes, and parsed no further than allowed.
//!
//! A body's bytes are counted as they come, so a caller who sends slowly holds what was sent and
//! not what was announced. What is read here is parsed on a blocking thread: 16 MiB of JSON would
//! hold up the tasks of network and consensus. Small bodies are [`super::extract`]'s.

use std::{fmt, marker::PhantomData, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::Request,
};
use futures::StreamExt as _;
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, SeqAccess, Visitor},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    error::Problem,
    extract::{body_too_large, broken_body, parse_json, refuse_announced},
    limits::{BODY_READ_TIMEOUT, within},
};

/// How the parser says that a list has too many items.
const TOO_MANY: &str = "a list has more items than allowed";

/// Bytes of large bodies that may be in memory at once.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Semaphore>);

/// A large body, and its part of the budget, given back when it is dropped.
#[derive(Debug)]
pub(super) struct LargeBody {
    pub(super) bytes: Bytes,
    _part: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// A budget of `bytes`.
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// Reads a body of at most `most` bytes.
    pub(super) async fn read(&self, request: Request, most: usize) -> Result<LargeBody, Problem> {
        refuse_announced(&request, most)?;
        let read = self.collect(request.into_body(), most);
        let in_time = within(BODY_READ_TIMEOUT, read).await;
        in_time.unwrap_or_else(|_| Err(Problem::timeout("the request's body")))
    }

    async fn collect(&self, body: Body, most: usize) -> Result<LargeBody, Problem> {
        let mut stream = body.into_data_stream();
        let (mut bytes, mut part) = (Vec::new(), None::<OwnedSemaphorePermit>);
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| broken_body())?;
            if chunk.len() > most.saturating_sub(bytes.len()) {
                return Err(body_too_large(most));
            }
            let taken = self.take(chunk.len())?;
            match &mut part {
                Some(part) => part.merge(taken),
                None => part = Some(taken),
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(LargeBody { bytes: bytes.into(), _part: part })
    }

    /// Whoever finds the budget used up is told so: to wait with half a body would hold what all
    /// the others wait for.
    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let count = u32::try_from(bytes).map_err(|_| body_too_large(u32::MAX as usize))?;
        let part = self.0.clone().try_acquire_many_owned(count);
        part.map_err(|_| Problem::overloaded("bytes of large requests"))
    }
}

/// A list of at most `N` items. The parser stops at the first one past them, however many follow.
#[derive(Debug, Clone)]
pub(super) struct AtMost<T, const N: usize>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for AtMost<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Items(PhantomData))
    }
}

struct Items<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Items<T, N> {
    type Value = AtMost<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {N} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            if items.len() == N {
                return Err(de::Error::custom(TOO_MANY));
            }
            items.push(item);
        }
        Ok(AtMost(items))
    }
}

/// Reads a JSON text with a list in it. For a blocking thread.
pub(super) fn parse_list<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    parse_json(bytes).map_err(|problem| {
        if problem.detail.starts_with(TOO_MANY) {
            Problem::bad("too_many_items", problem.detail, "split the batch")
        } else {
            problem
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn request(body: Body) -> Request {
        Request::new(body)
    }

    #[tokio::test]
    async fn a_slow_sender_holds_what_it_sent_and_no_more() {
        let budget = Budget::new(100);
        let (send, sent) = futures::channel::mpsc::unbounded::<Result<Bytes, std::io::Error>>();
        let slow = tokio::spawn({
            let budget = budget.clone();
            async move { budget.read(request(Body::from_stream(sent)), 100).await }
        });
        send.unbounded_send(Ok(Bytes::from(vec![0; 10]))).unwrap();
        while budget.0.available_permits() > 90 {
            tokio::task::yield_now().await;
        }
        let other = budget.read(request(Body::from(vec![0; 90])), 100).await.unwrap();
        let third = budget.read(request(Body::from(vec![0; 1])), 100).await.unwrap_err();
        assert_eq!(third.code, "overloaded");
        drop(other);
        drop(send);
        let body = slow.await.unwrap().unwrap();
        assert_eq!((body.bytes.len(), budget.0.available_permits()), (10, 90));
        drop(body);
        assert_eq!(budget.0.available_permits(), 100);
    }

    #[tokio::test]
    async fn a_body_of_the_greatest_size_is_read_and_a_longer_one_is_not() {
        let budget = Budget::new(100);
        let read = async |size: usize| budget.read(request(Body::from(vec![0; size])), 50).await;
        assert_eq!(read(50).await.unwrap().bytes.len(), 50);
        assert_eq!(read(51).await.unwrap_err().code, "body_too_large");
        assert_eq!(budget.0.available_permits(), 100);
    }

    #[test]
    fn the_parser_stops_at_the_first_item_too_many() {
        let parse = |items: &str| {
            let body = format!("{{\"items\": {items}}}");
            let mut read = parse_list::<BTreeMap<String, AtMost<u8, 3>>>(body.as_bytes())?;
            Ok::<_, Problem>(read.remove("items").unwrap().0)
        };
        assert_eq!(parse("[1, 2, 3]").unwrap(), [1, 2, 3]);
        // What follows is no JSON, and nobody looks at it.
        assert_eq!(parse("[1, 2, 3, 4, ?").unwrap_err().code, "too_many_items");
        assert_eq!(parse("[1, 2, ?").unwrap_err().code, "bad_json");
        assert_eq!(parse("7").unwrap_err().code, "bad_json");
    }
}
