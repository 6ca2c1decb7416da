//! The chain as a stream of server-sent events: one for each block, resumable by height.
//!
//! A stream takes one block at a time, when its reader has taken the one before, so a slow reader
//! costs nothing and a late one catches up. A block is read from the database and written as text
//! once for all streams that follow the chain ([`Told`]).

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::Stream;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{OnceCell, OwnedSemaphorePermit, watch},
    time::Instant,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    blocks::no_block,
    callers::{Caller, Held},
    error::{Problem, ProblemDocument},
    extract::Asked,
    words::{hex, instant},
};
use crate::{
    metrics::Metrics,
    storage::{StorageError, View},
};

/// How often a silent stream says that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Longest life of a stream. Its reader comes back with `Last-Event-ID`; a place is not held for
/// ever by a reader that is gone.
const MAX_LIFE: Duration = Duration::from_secs(3_600);
/// Most licence events in one message: a busy block of an import has about 2,000.
const MAX_LICENCES: usize = 4_096;
/// Blocks whose text is kept for other streams: all that follow the chain are within a few of the
/// newest. One with most licence events takes 1.5 MB.
const KEPT: usize = 8;

/// How far past the newest block a reader may go on: more than a node is ever behind that serves.
const MAX_AHEAD: u64 = 1_000;

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::default().routes(routes!(stream_events))
}

/// Where to begin.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Beginning {
    /// First height, at most the one after the newest; the newest block when absent.
    from: Option<u64>,
}

/// What happened to a licence.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct LicenceLine {
    /// The licence.
    cid: String,
    /// The operation.
    event: String,
    /// The licence's status after it.
    status: String,
    /// The transaction.
    transaction: String,
    /// The operation's place in it.
    operation_index: u32,
    /// The licence that it replaced or that replaced it.
    related: Option<String>,
}

/// The data of one event.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct BlockEvent {
    /// Number of the block; also the event's id.
    height: u64,
    /// Its hash.
    hash: String,
    /// Its time, RFC 3339.
    time: String,
    /// How many transactions it has.
    transactions: usize,
    /// How many licence events it has.
    licences_total: usize,
    /// The first 4,096 of them, in the order of execution.
    licences: Vec<LicenceLine>,
}

/// The newest blocks as streams send them, each made once. A block never changes, so its height
/// is all that it goes by.
#[derive(Default)]
pub(super) struct Told(Mutex<BTreeMap<u64, Arc<OnceCell<Arc<str>>>>>);

impl Told {
    /// The text of a block's event. Of those who ask at once, one makes it. What is older than all
    /// that is kept is made for the asker alone, so that who reads the chain from its beginning
    /// takes nobody's place.
    async fn text<F>(&self, height: u64, make: impl FnOnce() -> F) -> Result<Arc<str>, Problem>
    where
        F: Future<Output = Result<Arc<str>, Problem>>,
    {
        match self.place(height) {
            Some(place) => place.get_or_try_init(make).await.cloned(),
            None => make().await,
        }
    }

    fn place(&self, height: u64) -> Option<Arc<OnceCell<Arc<str>>>> {
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !blocks.contains_key(&height) && blocks.len() >= KEPT {
            if blocks.first_key_value().is_some_and(|(oldest, _)| height < *oldest) {
                return None;
            }
            blocks.pop_first();
        }
        Some(blocks.entry(height).or_default().clone())
    }
}

/// A stream's place among all and among its caller's, and its mark in the metrics.
struct Place {
    metrics: Arc<Metrics>,
    _permit: OwnedSemaphorePermit,
    _held: Option<Held>,
}

impl Place {
    fn take(server: &Server, Caller(caller): Caller) -> Result<Self, Problem> {
        let full = || Problem::overloaded("event streams of one address");
        let held = caller.map(|address| server.streaming.take(address).ok_or_else(full));
        let held = held.transpose()?;
        let permit = server.streams.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Problem::overloaded("event streams"))?;
        let metrics = server.context.metrics.clone();
        metrics.event_streams.inc();
        Ok(Self { metrics, _permit: permit, _held: held })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.event_streams.dec();
    }
}

struct Feed {
    server: Arc<Server>,
    next: u64,
    commits: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    end: Instant,
    _place: Place,
}

/// Blocks as they are committed, as server-sent events.
///
/// Each event has the height as its id, `block` as its name, and a JSON object as its data. After
/// a break, `Last-Event-ID` (which browsers send by themselves) goes on after that height.
#[utoipa::path(get, path = "/v1/events", tag = "chain", params(Beginning,
    ("Last-Event-ID" = Option<u64>, Header, description = "Height of the last event received")),
    responses((status = 200, content_type = "text/event-stream", body = BlockEvent),
        (status = 400, body = ProblemDocument), (status = 410, body = ProblemDocument),
        (status = 503, body = ProblemDocument)))]
pub(super) async fn stream_events(
    State(server): State<Arc<Server>>,
    Asked(asked): Asked<Beginning>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let place = Place::take(&server, caller)?;
    let commits = server.context.store.commits();
    let tip = *commits.borrow();
    let next = match (last_event_id(&headers)?, asked.from) {
        // A reader that comes from another node may know blocks that are on their way here.
        (Some(last), _) => not_past(last.saturating_add(1), tip.saturating_add(MAX_AHEAD), tip)?,
        (None, Some(from)) => not_past(from, tip.saturating_add(1), tip)?,
        (None, None) => tip,
    };
    let given = asked.from.is_some() || headers.contains_key("last-event-id");
    let first = server.read(|view| Ok(view.kept()?.blocks)).await?;
    if given && next < first {
        let detail = format!("block {next} is not kept any more; the first here is {first}");
        return Err(Problem::pruned(detail).at(tip));
    }
    let next = next.max(first);
    let stopping = server.stopping.subscribe();
    let end = Instant::now() + MAX_LIFE;
    let feed = Feed { server, next, commits, stopping, end, _place: place };
    let stream = futures::stream::unfold(feed, |mut feed| async move {
        let event = feed.next_event().await?;
        Some((Ok(event), feed))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// Whoever waits for a block that nobody will see would hold a place for nothing.
fn not_past(next: u64, most: u64, tip: u64) -> Result<u64, Problem> {
    if next <= most {
        return Ok(next);
    }
    let detail = format!("block {next} is far off; the newest here is {tip}");
    let hint = "give a height up to the one after the newest, or none for the newest";
    Err(Problem::bad("bad_height", detail, hint).at(tip))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let height = value.to_str().ok().and_then(|text| text.parse().ok());
    height.map(Some).ok_or_else(|| {
        let hint = "send the id of the last event received, or leave the header out";
        Problem::bad("bad_height", "Last-Event-ID is not a height", hint)
    })
}

impl Feed {
    /// The next block's event; none ends the stream.
    async fn next_event(&mut self) -> Option<Event> {
        self.wait().await?;
        let height = self.next;
        let server = &self.server;
        let make = || server.read(move |view| block_text(view, height));
        match server.told.text(height, make).await {
            Ok(text) => {
                self.next = height.saturating_add(1);
                Some(Event::default().id(height.to_string()).event("block").data(&*text))
            }
            // The fault is in the log, or the node is overloaded: the reader comes back.
            Err(_) => None,
        }
    }

    /// Waits until the next block is there; none when the stream is to end.
    async fn wait(&mut self) -> Option<()> {
        let next = self.next;
        tokio::select! {
            biased;
            _ = self.stopping.wait_for(|stopping| *stopping) => None,
            () = tokio::time::sleep_until(self.end) => None,
            tip = self.commits.wait_for(|tip| *tip >= next) => tip.ok().map(|_| ()),
        }
    }
}

fn block_text(view: &View<'_>, height: u64) -> Result<Arc<str>, Problem> {
    let text = serde_json::to_string(&block_event(view, height)?).map_err(StorageError::damaged)?;
    Ok(text.into())
}

fn block_event(view: &View<'_>, height: u64) -> Result<BlockEvent, Problem> {
    let Some(block) = view.block(height)? else { return Err(no_block(view, height)?) };
    let events = view.events(&block)?;
    let lines = events.iter().take(MAX_LICENCES).map(|(cid, entry)| LicenceLine {
        cid: hex(cid),
        event: entry.event.clone(),
        status: entry.status.clone(),
        transaction: hex(&entry.transaction),
        operation_index: entry.place.operation_index,
        related: entry.related.as_ref().map(hex),
    });
    Ok(BlockEvent {
        height,
        hash: hex(&block.hash()),
        time: instant(block.header.time_ms),
        transactions: block.transactions.len(),
        licences_total: events.len(),
        licences: lines.collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;

    use super::*;

    #[tokio::test]
    async fn a_block_is_made_once_for_all_streams_at_the_tip_and_old_ones_are_not_kept() {
        let (told, made) = (Told::default(), AtomicUsize::new(0));
        let make = async |height: u64| {
            let make = || async {
                made.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                Ok(Arc::from(format!("block {height}")))
            };
            told.text(height, make).await.unwrap_or_else(|_| unreachable!("it is made"))
        };
        for height in 10..20 {
            let texts = join_all((0..50).map(|_| make(height))).await;
            assert!(texts.iter().all(|text| **text == *format!("block {height}")));
        }
        assert_eq!(made.load(Ordering::SeqCst), 10);
        // A late reader goes through all of them, and the newest are still there for the others.
        for height in 0..20 {
            make(height).await;
        }
        assert_eq!(made.load(Ordering::SeqCst), 10 + 20 - KEPT);
        assert_eq!(told.0.lock().unwrap_or_else(PoisonError::into_inner).len(), KEPT);
        // What failed is made again by the next one.
        let failed = told.text(20, || async { Err(Problem::internal()) }).await;
        assert!(failed.is_err());
        assert_eq!(*make(20).await, *"block 20");
    }
}
