//! The interface's description is true: what is served is among what is described, with its
//! status, its media type and its shape.

use serde_json::{Value, json};
use symbolon_ledger::{
    hash::sha256,
    keys::SecretKey,
    operation::{Operation, RevocationClass},
};

use crate::support::{Answer, Licence, Node, TYPE, request};

const CBOR: (&str, &str) = ("accept", "application/cbor");
const COSE: (&str, &str) = ("content-type", "application/cose");
const JSON: (&str, &str) = ("content-type", "application/json");

/// A node's description of itself.
struct Description {
    document: Value,
}

impl Description {
    fn of(node: &Node) -> Self {
        Self { document: node.get("/openapi.json").json() }
    }

    /// Whether `answer` is what the operation is said to give.
    fn check(&self, method: &str, pattern: &str, answer: &Answer) {
        let what = format!("{method} {pattern} {}", answer.status);
        let operation = &self.document["paths"][pattern][method.to_lowercase().as_str()];
        assert!(operation.is_object(), "{what}: not described");
        let response = &operation["responses"][answer.status.to_string().as_str()];
        assert!(response.is_object(), "{what}: the status is not described");
        let media_type = answer.headers["content-type"].split(';').next().unwrap().trim();
        let content = &response["content"][media_type];
        assert!(content.is_object(), "{what}: {media_type} is not described");
        if media_type.ends_with("json") {
            let wrong = self.mismatch(&content["schema"], &answer.json(), false);
            assert_eq!(wrong, None, "{what}: {}", answer.json());
        } else {
            assert_eq!(content["schema"], json!({"type": "string", "format": "binary"}), "{what}");
        }
    }

    /// What of `value` is otherwise than `schema` says; the part of JSON Schema that we use. An
    /// open schema is one of several that describe an object together.
    fn mismatch(&self, schema: &Value, value: &Value, open: bool) -> Option<String> {
        if let Some(schema) = self.referred(schema) {
            return self.mismatch(schema, value, open);
        }
        if let Some(parts) = schema["oneOf"].as_array() {
            let wrong: Vec<_> = parts.iter().map(|part| self.mismatch(part, value, open)).collect();
            let fits = wrong.iter().any(Option::is_none);
            return (!fits).then(|| format!("none of {} fits: {wrong:?}", parts.len()));
        }
        if let Some(words) = schema["enum"].as_array() {
            return (!words.contains(value)).then(|| format!("{value} is not among {words:?}"));
        }
        if let Some(members) = value.as_object() {
            return self.mismatch_of_object(schema, members, value, open);
        }
        if let Some(items) = value.as_array() {
            return items.iter().find_map(|item| self.mismatch(&schema["items"], item, false));
        }
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            _ => "string",
        };
        let types = &schema["type"];
        let fits = *types == found || types.as_array().is_some_and(|t| t.contains(&json!(found)));
        (!fits).then(|| format!("{value} is not of {types}"))
    }

    fn mismatch_of_object(
        &self,
        schema: &Value,
        members: &Members,
        value: &Value,
        open: bool,
    ) -> Option<String> {
        let parts = schema["allOf"].as_array().into_iter().flatten();
        let wrong = parts.filter_map(|part| self.mismatch(part, value, true)).next();
        let required = schema["required"].as_array().into_iter().flatten();
        let missing = required
            .map(|name| name.as_str().unwrap())
            .find(|name| !members.contains_key(*name))
            .map(|name| format!("{name} is missing"));
        let properties = schema["properties"].as_object();
        let bad = members.iter().find_map(|(name, value)| {
            let wrong = self.mismatch(properties?.get(name)?, value, false)?;
            Some(format!("{name}: {wrong}"))
        });
        let mut names = Vec::new();
        self.names(schema, &mut names);
        let unknown = members.keys().filter(|_| !open).find(|name| !names.contains(*name));
        wrong.or(missing).or(bad).or(unknown.map(|name| format!("{name} is not described")))
    }

    /// The names of all members that an object may have.
    fn names(&self, schema: &Value, names: &mut Vec<String>) {
        if let Some(schema) = self.referred(schema) {
            return self.names(schema, names);
        }
        names
            .extend(schema["properties"].as_object().into_iter().flatten().map(|(n, _)| n.clone()));
        for several in ["allOf", "oneOf"] {
            for part in schema[several].as_array().into_iter().flatten() {
                self.names(part, names);
            }
        }
    }

    fn referred(&self, schema: &Value) -> Option<&Value> {
        let reference = schema["$ref"].as_str()?;
        let schema = self.document.pointer(reference.trim_start_matches('#'));
        Some(schema.unwrap_or_else(|| panic!("{reference} is missing")))
    }
}

type Members = serde_json::Map<String, Value>;

#[test]
fn every_answer_is_among_those_described() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    let revoke = Operation::Revoke { cid: licence.cid, class: RevocationClass::Unspecified };
    let revocation = node.by_agency("44", vec![revoke]);
    node.apply(&revocation);
    node.apply(&node.by_agency("44", vec![Operation::Suspend { cid: node.issue("44", 3).cid }]));
    for action in crate::governance::actions(&node) {
        let action = Box::new(action);
        let proposal = Operation::Propose { action, expires_at_height: 900 };
        node.apply(&node.by_province("11", vec![proposal]));
    }
    let (cid, id, agency) = (licence.cid, revocation.id(), node.agency("44"));
    let none = sha256(b"nothing");
    let description = Description::of(&node);
    for (pattern, paths) in [
        ("/v1/licences/{cid}", vec![format!("{cid}"), format!("{none}"), "x".into()]),
        ("/v1/licences/{cid}/history", vec![format!("{cid}/history"), format!("{none}/history")]),
        ("/v1/transactions/{id}", vec![format!("{id}"), format!("{none}"), "x".into()]),
        (
            "/v1/transactions/{id}/receipt",
            vec![format!("{id}/receipt"), format!("{none}/receipt"), "x/receipt".into()],
        ),
        ("/v1/agencies", vec!["?proof=true".into(), "?limit=0".into()]),
        (
            "/v1/agencies/{uscc}",
            vec![format!("{agency}?proof=true"), "11100000000013127D?proof=true".into()],
        ),
        ("/v1/agencies/{uscc}/slots", vec![format!("{agency}/slots?proof=true"), "x/slots".into()]),
        ("/v1/provinces", vec![String::new(), "?proof=x".into()]),
        ("/v1/provinces/{code}", vec!["44?proof=true".into(), "99".into(), "x".into()]),
        ("/v1/licence-types", vec![String::new(), "?limit=0".into()]),
        ("/v1/licence-types/{code}", vec![TYPE.into(), "local:nothing".into(), "x".into()]),
        ("/v1/recognition", vec![String::new(), "?issuing=x".into()]),
        ("/v1/validators", vec!["?proof=true".into(), "?x=1".into()]),
        ("/v1/parameters", vec!["?proof=true".into(), "?x=1".into()]),
        ("/v1/proposals", vec!["?proof=true".into(), "?x=1".into()]),
        ("/v1/proposals/{number}", vec!["0".into(), "77?proof=true".into(), "x".into()]),
        (
            "/v1/agencies/{uscc}/reversals",
            vec![format!("{agency}/reversals?key_id=0"), format!("{agency}/reversals")],
        ),
        ("/v1/blocks", vec![String::new(), "?after=x".into()]),
        ("/v1/blocks/latest", vec![String::new()]),
        ("/v1/blocks/{height}", vec!["1".into(), "0".into(), "99".into(), "x".into()]),
        ("/v1/blocks/{height}/certificate", vec!["1/certificate".into(), "0/certificate".into()]),
        ("/v1/status", vec![String::new()]),
        ("/v1/evidence", vec![String::new()]),
    ] {
        let stem = pattern.split('{').next().unwrap();
        for path in paths {
            let path = format!("{stem}{path}");
            description.check("GET", pattern, &node.get(&path));
            let cbor = node.get_with(&path, &[CBOR]);
            description.check("GET", pattern, &cbor);
        }
    }
    description.check("GET", "/v1/events", &node.get("/v1/events?from=x"));
    let signed = node.issue_to("44", 2, &SecretKey::from_seed(&[61; 32]));
    check_posts(&node, &description, (&licence.text, &signed));
    check_other_methods(&node, &description);
}

fn check_other_methods(node: &Node, description: &Description) {
    let paths = description.document["paths"].as_object().unwrap();
    for (pattern, method) in [
        ("/v1/status", "POST"),
        ("/v1/blocks/{height}", "DELETE"),
        ("/v1/verify", "GET"),
        ("/v1/transactions", "GET"),
    ] {
        let path = pattern.replace("{height}", "1");
        let answer = request(node.public, method, &path, &[], b"");
        assert_eq!(answer.status, 405);
        for operation in paths[pattern].as_object().unwrap().values() {
            let content = &operation["responses"]["405"]["content"];
            assert!(content[answer.headers["content-type"].as_str()].is_object(), "{pattern}");
        }
    }
}

fn check_posts(node: &Node, description: &Description, (presentation, held): (&str, &Licence)) {
    let shown = (&["name"][..], &SecretKey::from_seed(&[61; 32]));
    let signed = node.present(held, shown, ("urn:elic:qr", "n1"));
    let good = json!({"presentation": presentation});
    let (never, _) = node.prepare_licence("44", 1);
    for body in [good.clone(), json!({"presentation": never.text}), json!({"presentation": "x"})] {
        description.check("POST", "/v1/verify", &node.verify(&body));
    }
    let items = json!({"items": [good, {"presentation": "x"}]});
    for body in [items, json!({"items": []})] {
        description.check("POST", "/v1/verify/batch", &node.post_json("/v1/verify/batch", &body));
    }
    let compared = json!({"data": {"certTypeCode": TYPE, "certData": {"name": "x"},
        "useCause": "x", "presentation": presentation}});
    let cid = symbolon_credential::sd_jwt::Parsed::parse(presentation).unwrap().claimed_cid();
    for (path, good) in [
        ("/v1/challenges", json!({"audience": "https://a.example"})),
        ("/v1/tickets", json!({"presentation": signed})),
        ("/v1/tickets", json!({"presentation": presentation})),
        ("/v1/compat/verifyCertInfo", compared),
        ("/v1/compat/queryCertInfo", json!({"data": {"cid": cid.unwrap().to_string()}})),
        ("/v1/compat/queryCertInfo", json!({"data": {}})),
    ] {
        for body in [good, json!({"x": 1}), json!([])] {
            description.check("POST", path, &node.post_json(path, &body));
        }
    }
    description.check("GET", "/t/{ticket}", &node.get("/t/AAAAAAAAAAAAAAAAAAAAAA"));
    let agency = node.agency("44");
    let reserve = node.by_agency("44", vec![Operation::ReserveSlots { agency, blocks: 1 }]);
    for body in [reserve.as_bytes(), b"", &reserve.as_bytes()[1..]] {
        let answer = node.post_cose("/v1/transactions", body);
        description.check("POST", "/v1/transactions", &answer);
    }
    node.commit();
    let again = node.post_cose("/v1/transactions", reserve.as_bytes());
    assert_eq!(again.status, 200);
    description.check("POST", "/v1/transactions", &again);
    let other = node.by_agency("11", vec![Operation::ReserveSlots { agency, blocks: 1 }]);
    let refused = node.post_cose("/v1/transactions?wait=commit&timeout_ms=100", other.as_bytes());
    assert_eq!(refused.status, 422);
    description.check("POST", "/v1/transactions", &refused);
    let too_large = vec![b' '; 17 * 1024 * 1024];
    for pattern in ["/v1/verify", "/v1/verify/batch", "/v1/transactions"] {
        for (headers, body) in [(&[JSON][..], &too_large[..]), (&[], b"{}"), (&[JSON], b"")] {
            let answer = request(node.public, "POST", pattern, headers, body);
            description.check("POST", pattern, &answer);
        }
        let media = &description.document["paths"][pattern]["post"]["requestBody"]["content"];
        for (name, content) in media.as_object().unwrap() {
            let bytes = content["schema"]["format"] == "binary";
            assert_eq!(bytes, *name == COSE.1, "{pattern} {name}");
        }
    }
}

/// A value of the right form for each variable part of a path.
fn filled(pattern: &str, node: &Node) -> String {
    let none = sha256(b"nothing").to_string();
    let code = if pattern.starts_with("/v1/provinces") { "44" } else { TYPE };
    let parts = [
        ("{cid}", none.clone()),
        ("{id}", none),
        ("{uscc}", node.agency("44").to_string()),
        ("{code}", code.to_owned()),
        ("{height}", "1".to_owned()),
        ("{number}", "0".to_owned()),
        ("{ticket}", "AAAAAAAAAAAAAAAAAAAAAA".to_owned()),
        ("{province}", "44".to_owned()),
        ("{list}", "0".to_owned()),
        ("{type}", TYPE.to_owned()),
    ];
    let path =
        parts.iter().fold(pattern.to_owned(), |path, (name, value)| path.replace(name, value));
    assert!(!path.contains('{'), "{path}: a part has no value here");
    path
}

#[test]
fn no_address_ignores_a_name_after_the_question_mark() {
    let node = Node::start();
    let description = Description::of(&node);
    let mut seen = 0;
    for (pattern, item) in description.document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().map(|m| m.to_uppercase()) {
            let path = filled(pattern, &node);
            for query in ["nonce=abc", "x", "recognizing_province=11"] {
                let path = format!("{path}?{query}");
                let answer = request(node.public, &method, &path, &[JSON], b"{}");
                assert_eq!(answer.problem(), "bad_query", "{method} {path}: {}", answer.json());
                assert_eq!(answer.status, 400, "{method} {path}");
                description.check(&method, pattern, &answer);
                seen += 1;
            }
        }
    }
    assert!(seen > 90, "{seen} requests");
    // Nothing after the mark is no name, and an address of which nothing is known is not there.
    assert_eq!(node.get("/v1/status?").status, 200);
    assert_eq!(node.get("/v1/nothing?x=1").status, 404);
    assert_eq!(request(node.public, "GET", "/v1/verify?x=1", &[], b"").status, 405);
}

#[test]
fn an_overloaded_node_answers_as_described() {
    let limits = symbolon_node::http::HttpLimits::default();
    let node = Node::start_with(symbolon_node::http::HttpLimits { requests: 0, ..limits });
    let document = serde_json::to_value(symbolon_node::http::description()).unwrap();
    let description = Description { document };
    for path in ["/v1/status", "/v1/blocks", "/v1/agencies", "/v1/events", "/v1/validators"] {
        let answer = node.get(path);
        assert_eq!(answer.status, 503);
        description.check("GET", path, &answer);
    }
}
