"""An idempotent load with confluent-kafka (librdkafka 2.x): what it sends and what becomes of it, as JSON lines.

Usage: confluent_kafka_load.py BOOTSTRAP TOPIC PARTITIONS PER_SECOND FIRST_VALUE. It ends when its standard input does,
once every record has its receipt.
"""

import json
import sys
import threading
import time

from confluent_kafka import KafkaError, Producer

FINAL = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.POLICY_VIOLATION, KafkaError.INVALID_RECORD}
RECORD_BYTES = 1024


def tell(event, **more):
    sys.stdout.write(json.dumps({"event": event, **more}) + "\n")


def receipt(value):
    def delivered(error, message):
        if not error:
            tell("acked", value=value, offset=message.offset())
        else:
            # Only what the broker refuses for good was certainly not written.
            tell("refused" if error.code() in FINAL else "unclear", value=value, reason=str(error))

    return delivered


def main(bootstrap, topic, partitions, per_second, value):
    producer = Producer({
        "bootstrap.servers": bootstrap,
        "enable.idempotence": True,
        "linger.ms": 2,
        "message.timeout.ms": 60000,
        "socket.timeout.ms": 4000,
        "reconnect.backoff.max.ms": 500,
        "topic.metadata.refresh.interval.ms": 2000,
    })
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    began, sent = time.monotonic(), 0
    while not ended.is_set():
        if sent >= (time.monotonic() - began) * per_second:
            producer.poll(0.002)
            sys.stdout.flush()
            continue
        partition = sent % partitions
        tell("sent", value=value, partition=partition)
        payload = value.to_bytes(8, "big").ljust(RECORD_BYTES, b".")
        try:
            producer.produce(topic, payload, partition=partition, on_delivery=receipt(value))
        except BufferError as error:
            tell("refused", value=value, reason=str(error))
        value, sent = value + 1, sent + 1
    left = producer.flush(60)
    sys.stdout.flush()
    sys.exit(f"{left} records without a receipt" if left else 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]))
