//! The staple: one state proof of everything that a verdict about a licence rests on, for its
//! holder to carry beside the licence, so that a verifier need not ask anybody.
//!
//! Which places these are is [`symbolon_verify::view`]'s; a test holds the two together. Nothing
//! in it is personal: it is what the ledger has.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::Response,
};
use serde::{Deserialize, Serialize};
use symbolon_credential::long_text::Base64UrlText;
use symbolon_ledger::{
    codes::{ProvinceCode, TypeCode, Uscc},
    hash::{Cid, sha256},
    operation::Actor,
    records::{
        AgencyIndexRecord, AgencyRecord, LicenceRecord, ProvinceRecord, Record, TypeIndexRecord,
    },
    state::StateKey,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    error::{Problem, ProblemDocument},
    extract::{APPLICATION_CBOR, Asked, CidPart, Named, PROVINCES, PathPart as _, wants_cbor},
    kept::{Tag, in_the_form_asked_for},
    words::{AsOf, hex},
};
use crate::storage::{StorageError, View};

/// Most provinces whose recognition one staple proves: all of them, and room for the special
/// regions. Each adds about a kilobyte.
const MAX_ASKING: usize = 40;

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::default().routes(routes!(get_staple))
}

/// What else to prove beside the licence.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StapleQuery {
    /// Codes of the provinces whose recognition is proven, separated by commas; the answering
    /// node's when absent.
    recognising_province: Option<String>,
    /// Whether to prove the key of the province's status lists, too; true when absent.
    status: Option<bool>,
    /// Credit code of the agency that the licence names. Only read when the ledger has no such
    /// licence, and then proven as far as it is there; the same holds for the next two.
    issuer: Option<String>,
    /// Number of the agency's key that the licence names.
    key_id: Option<u32>,
    /// Code of the type that the licence names.
    licence_type: Option<String>,
}

/// A staple.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct StapleBody {
    /// The licence.
    cid: String,
    /// Height of the snapshot.
    height: u64,
    /// The block on which this rests.
    as_of: AsOf,
    /// How many places are proven.
    entries: usize,
    /// The state proof, base64url of its CBOR.
    #[schema(value_type = String)]
    proof: Base64UrlText,
}

/// What is asked, checked.
#[derive(Debug)]
struct Wanted {
    asking: Vec<ProvinceCode>,
    /// Whether the request named them.
    is_named: bool,
    status: bool,
    issuer: Option<Uscc>,
    key_id: Option<u32>,
    licence_type: Option<TypeCode>,
}

impl Wanted {
    fn read(query: &StapleQuery, home: Option<ProvinceCode>) -> Result<Self, Problem> {
        let asking = match &query.recognising_province {
            None => home.into_iter().collect(),
            Some(text) => text.split(',').map(ProvinceCode::read).collect::<Result<Vec<_>, _>>()?,
        };
        if asking.len() > MAX_ASKING {
            let detail = format!("{} provinces, more than the {MAX_ASKING} allowed", asking.len());
            return Err(Problem::bad("bad_query", detail, "name those that may ask"));
        }
        Ok(Self {
            asking,
            is_named: query.recognising_province.is_some(),
            status: query.status.unwrap_or(true),
            issuer: query.issuer.as_deref().map(Uscc::read).transpose()?,
            key_id: query.key_id,
            licence_type: query.licence_type.as_deref().map(TypeCode::read).transpose()?,
        })
    }
}

impl Wanted {
    /// Refuses to be asked for provinces that are not on this chain, which recognise nothing. This
    /// node's own may be one that is yet to come.
    fn refuse_unknown(&self, view: &View<'_>) -> Result<(), Problem> {
        for province in self.asking.iter().filter(|_| self.is_named) {
            if view.raw(&StateKey::Province(*province))?.is_none() {
                let detail = format!("recognising_province: no province {province}");
                return Err(Problem::bad("bad_province", detail, PROVINCES));
            }
        }
        Ok(())
    }
}

/// Places of the state, each once.
struct Places<'a, 'v> {
    view: &'a View<'v>,
    keys: Vec<StateKey>,
}

impl Places<'_, '_> {
    fn add(&mut self, key: StateKey) {
        if !self.keys.contains(&key) {
            self.keys.push(key);
        }
    }

    fn read<R>(&mut self, key: StateKey) -> Result<Option<Arc<R>>, StorageError>
    where
        R: Record + Send + Sync + 'static,
    {
        let record = self.view.shared(&key)?;
        self.add(key);
        Ok(record)
    }

    /// The agency with its province, the type, and who recognises what of them.
    fn add_issuer(
        &mut self,
        issuer: Option<Uscc>,
        licence_type: Option<&TypeCode>,
        wanted: &Wanted,
    ) -> Result<(), StorageError> {
        let agency = issuer.map(StateKey::Agency).map(|key| self.read::<AgencyRecord>(key));
        let home = agency.transpose()?.flatten().map(|agency| agency.province);
        if let Some(home) = home {
            let province: Option<Arc<ProvinceRecord>> = self.read(StateKey::Province(home))?;
            let status_key = province.and_then(|province| province.status_key);
            if let Some(id) = status_key.filter(|_| wanted.status) {
                self.add(StateKey::Key(Actor::Province(home), id));
            }
        }
        if let Some(code) = licence_type {
            self.add(StateKey::LicenceType(code.clone()));
        }
        for asking in &wanted.asking {
            self.add(StateKey::Province(*asking));
            if let (Some(home), Some(code)) = (home, licence_type) {
                self.add(StateKey::Recognition(*asking, home, code.clone()));
            }
        }
        self.add(StateKey::Parameters);
        Ok(())
    }
}

/// What a number in a record stands for: it must be there.
fn named<R>(view: &View<'_>, key: &StateKey) -> Result<Arc<R>, StorageError>
where
    R: Record + Send + Sync + 'static,
{
    view.shared(key)?.ok_or_else(|| StorageError::damaged(format!("{key:?} is missing")))
}

/// Every place that a verdict about the licence rests on, and whether the ledger has it.
fn places(
    view: &View<'_>,
    cid: Cid,
    wanted: &Wanted,
) -> Result<(Vec<StateKey>, bool), StorageError> {
    let mut places = Places { view, keys: Vec::new() };
    let licence: Option<Arc<LicenceRecord>> = places.read(StateKey::Licence(cid))?;
    match &licence {
        Some(licence) => {
            let agency = StateKey::AgencyByIndex(licence.agency_index);
            let uscc = named::<AgencyIndexRecord>(view, &agency)?.uscc;
            let number = StateKey::LicenceTypeByIndex(licence.type_index);
            let index = named::<TypeIndexRecord>(view, &number)?;
            for id in [licence.credential_key, licence.transaction_key] {
                places.add(StateKey::Key(Actor::Agency(uscc), id));
            }
            places.add_issuer(Some(uscc), Some(&index.code), wanted)?;
        }
        None => {
            if let (Some(uscc), Some(id)) = (wanted.issuer, wanted.key_id) {
                places.add(StateKey::Key(Actor::Agency(uscc), id));
            }
            places.add_issuer(wanted.issuer, wanted.licence_type.as_ref(), wanted)?;
        }
    }
    Ok((places.keys, licence.is_some()))
}

/// One state proof of everything that a verdict about a licence rests on, to be carried beside it.
///
/// Licence, agency, keys, type, provinces, recognition, parameters and the key of the status
/// lists, all at one height. The 404 carries the same proof for a licence that is not there. It may be
/// kept, and with `If-None-Match` be asked for again: 304 until the next block.
#[utoipa::path(get, path = "/v1/licences/{cid}/proof", tag = "licences",
    params(("cid" = String, Path, description = "64 hexadecimal digits"), StapleQuery,
        ("if-none-match" = Option<String>, Header, description = "ETag of the answer at hand")),
    responses((status = 200, content((StapleBody = "application/json"),
        (Vec<u8> = "application/cbor"))),
        (status = 304, description = "There is no newer block than that of the answer at hand"),
        (status = 400, body = ProblemDocument),
        (status = 404, body = ProblemDocument, description = "With a proof of the absence")))]
pub(super) async fn get_staple(
    State(server): State<Arc<Server>>,
    Named(CidPart(cid)): Named<CidPart>,
    Asked(query): Asked<StapleQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = Wanted::read(&query, server.context.province)?;
    let cbor = wants_cbor(&headers);
    let look = move |view: &View<'_>| {
        wanted.refuse_unknown(view)?;
        let (keys, is_there) = places(view, cid, &wanted)?;
        let tag = Tag::of(&view.mark(), &sha256(format!("{cid} {wanted:?} {cbor}").as_bytes()));
        if is_there && tag.is_known(&headers) {
            return Ok(in_the_form_asked_for(tag.on(None::<Response>)));
        }
        let proof = view.state_proof(&keys)?;
        let height = view.tip().height;
        if !is_there {
            let detail = format!("the ledger has no such licence at height {height}");
            let hint =
                "compare the cid with the credential; the proof shows that nothing stands there";
            let problem = Problem::missing("unknown_licence", detail, hint).at(height);
            return Err(problem.proven(Base64UrlText::of(&proof)));
        }
        if cbor {
            let answer = ([(header::CONTENT_TYPE, APPLICATION_CBOR)], proof);
            return Ok(in_the_form_asked_for(tag.on(Some(answer))));
        }
        let body = StapleBody {
            cid: hex(&cid),
            height,
            as_of: AsOf::from(view.tip()),
            entries: keys.len(),
            proof: Base64UrlText::of(&proof),
        };
        Ok(in_the_form_asked_for(tag.on(Some(Json(body)))))
    };
    server.glance(look).await
}
