//! See `tests/golden/README.md`.

use broker_record::{BatchView, Compression};
use model::{LeaderEpoch, Offset, ProducerId, Timestamp, limits};

const GOLDEN: [(&str, &[u8], i64); 5] = [
    ("none", include_bytes!("../golden/kafka-4.3-none.batch"), 1_795_260_685_700),
    ("gzip", include_bytes!("../golden/kafka-4.3-gzip.batch"), 1_795_260_693_907),
    ("snappy", include_bytes!("../golden/kafka-4.3-snappy.batch"), 1_795_260_701_383),
    ("lz4", include_bytes!("../golden/kafka-4.3-lz4.batch"), 1_795_260_708_085),
    ("zstd", include_bytes!("../golden/kafka-4.3-zstd.batch"), 1_795_260_713_509),
];

#[test]
fn apache_kafkas_batches_are_read_in_every_compression() {
    for (n, (name, bytes, max_timestamp)) in GOLDEN.into_iter().enumerate() {
        let batch = BatchView::parse(bytes).unwrap();
        batch.verify().unwrap();
        assert_eq!(batch.attributes.compression().unwrap(), name.parse::<Compression>().unwrap());
        assert_eq!((batch.base_offset, batch.next_offset(), batch.count), (Offset(0), Offset(2), 2));
        assert_eq!((batch.producer_id, batch.producer_epoch, batch.base_sequence), (ProducerId(1000 + n as i64), 0, 0));
        assert_eq!((batch.leader_epoch, batch.max_timestamp), (LeaderEpoch(0), Timestamp(max_timestamp)));
        let records: Vec<_> = batch.records(limits::DECOMPRESSED_BYTES_MAX).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(records[0].key.as_deref(), Some(&b"key-1"[..]), "{name}");
        assert_eq!(records[0].value.as_deref(), Some(&b"value one, said again: value one, value one, value one"[..]));
        let headers: Vec<_> = records[0].headers.iter().map(|h| (&h.key[..], h.value.as_deref().unwrap())).collect();
        assert_eq!(headers, [(&b"h1"[..], &b"a"[..]), (b"h1", b"b")], "the same name twice, in order");
        assert_eq!(records[1].timestamp, Timestamp(max_timestamp));
    }
}
