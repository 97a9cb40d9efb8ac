//! Headers and frames as old and new clients write them.

use broker_wire::api::api_versions;
use broker_wire::codec::Message;
use broker_wire::internal::{self, control, link_fetch};
use broker_wire::{ApiKey, ErrorCode, RequestHeader, decode_response_header, frame};
use bytes::Bytes;

fn advertised() -> Vec<api_versions::ApiVersion> {
    ApiKey::ALL.iter().map(|key| key.api_version()).collect()
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0_with_the_list() {
    // What Java 4.4 opens with: version 5, header 2, fields we have never seen.
    let request = [&[0, 18, 0, 5, 0, 0, 0, 9, 0, 2, b'j', b'v', 0][..], &[2, b'x', 0xff, 0xff, 0xff]].concat();
    let (header, _) = RequestHeader::decode(request.into()).unwrap();
    assert_eq!((header.api_version, header.client_id.as_deref()), (5, Some("jv")));
    let (version, response) = api_versions::Response::answer(header.api_version, advertised());
    assert_eq!((version, response.error_code), (0, ErrorCode::UNSUPPORTED_VERSION));
    let frame = frame::encode_response(header.correlation_id, version, &response).unwrap();
    let expected_len = 4 + 4 + 2 + 4 + 6 * ApiKey::ALL.len();
    assert_eq!(frame.len(), expected_len);
    let (correlation_id, body) = decode_response_header(frame.slice(4..), ApiKey::ApiVersions.number(), 5).unwrap();
    assert_eq!(correlation_id, 9);
    assert_eq!(api_versions::Response::decode_any(body, 5).unwrap(), response);
}

#[test]
fn a_flexible_api_versions_response_has_a_plain_header_and_no_default_tags() {
    let (version, response) = api_versions::Response::answer(3, Vec::new());
    let frame = frame::encode_response(1, version, &response).unwrap();
    // length, correlation id, error, empty compact array, throttle time, no tagged field
    assert_eq!(frame, [&[0, 0, 0, 12][..], &[0, 0, 0, 1], &[0, 0], &[1], &[0, 0, 0, 0], &[0]].concat());
}

#[test]
fn the_client_id_of_a_flexible_header_has_a_classic_length() {
    let frame = frame::encode_request(7, Some("ab"), 3, &api_versions::Request::default()).unwrap();
    assert_eq!(frame[4..17], [0, 18, 0, 3, 0, 0, 0, 7, 0, 2, b'a', b'b', 0]);
    let peeked = RequestHeader::peek(&frame[4..]).unwrap();
    assert_eq!(peeked.client_id, Some("ab"));
}

#[test]
fn a_client_without_a_name_is_read_and_peeked_at() {
    let frame = frame::encode_request(7, None, 0, &api_versions::Request::default()).unwrap();
    assert_eq!(frame, [&[0, 0, 0, 10][..], &[0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff]].concat());
    assert_eq!(RequestHeader::peek(&frame[4..]).unwrap().client_id, None);
    assert_eq!(RequestHeader::decode(frame.slice(4..)).unwrap().0.client_id, None);
}

#[test]
fn a_body_that_is_spliced_gets_the_header_of_its_version() {
    let body = Bytes::from_static(&[1, 2, 3]);
    let flexible = frame::encode_response_body(5, ApiKey::Metadata.number(), 9, &body).unwrap();
    assert_eq!(flexible, [&[0, 0, 0, 8][..], &[0, 0, 0, 5, 0], &[1, 2, 3]].concat());
    let classic = frame::encode_response_body(5, ApiKey::Metadata.number(), 8, &body).unwrap();
    assert_eq!(classic, [&[0, 0, 0, 7][..], &[0, 0, 0, 5], &[1, 2, 3]].concat());
}

#[test]
fn client_software_names_are_checked_as_kip_511_asks() {
    let valid = |name: &str, version: &str| {
        let (client_software_name, client_software_version) = (name.to_owned(), version.to_owned());
        api_versions::Request { client_software_name, client_software_version, ..Default::default() }.is_valid()
    };
    assert!(valid("apache-kafka-java", "4.1.0"));
    assert!(valid("a", "1"));
    assert!(!valid("", "1"));
    assert!(!valid("-a", "1"));
    assert!(!valid("a", "1."));
    assert!(!valid("a b", "1"));
}

#[test]
fn private_apis_have_the_same_frames_and_are_never_advertised() {
    let request = link_fetch::Request {
        link_id: "r1-r2".to_owned(),
        partitions: vec![link_fetch::Partition { fetch_offset: 9, copy_term: 4, ..Default::default() }],
        ..Default::default()
    };
    let frame = frame::encode_request(3, Some("r2"), 0, &request).unwrap();
    assert_eq!(RequestHeader::peek(&frame[4..]).unwrap().api_key, 1001);
    let (header, body) = RequestHeader::decode(frame.slice(4..)).unwrap();
    assert_eq!((header.api_key, header.correlation_id), (link_fetch::Request::KEY, 3));
    assert_eq!(link_fetch::Request::decode(body, 0).unwrap(), request);
    assert!(advertised().iter().all(|api| api.api_key < internal::FIRST_KEY));
}

#[test]
fn a_control_call_carries_its_payload_as_it_is() {
    let payload = Bytes::from_static(b"{\"group\":\"orders\"}");
    let request = control::Request { method: "offset-sync".to_owned(), payload, ..Default::default() };
    let frame = frame::encode_request(3, None, 0, &request).unwrap();
    let (header, body) = RequestHeader::decode(frame.slice(4..)).unwrap();
    assert_eq!(header.api_key, control::Request::KEY);
    assert_eq!(control::Request::decode(body, 0).unwrap(), request);
}
