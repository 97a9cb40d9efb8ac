use super::offsets::{Offsets, Place};
use super::record::{Key, RecordError, consumer, read_group, read_key, read_offset};
use super::{Coordinator, Moment};
use bytes::Bytes;

/// Takes one record of `__consumer_offsets`, which lies at `place`, into the state it belongs to, oldest first: the last one of a key wins, and
/// one without a value takes the key back.
///
/// # Errors
/// [`RecordError`] when it cannot be read; the state is as before.
pub fn replay(
    coordinator: &mut Coordinator,
    offsets: &mut Offsets,
    now: Moment,
    place: Place,
    key: &Bytes,
    value: Option<&Bytes>,
) -> Result<(), RecordError> {
    match (read_key(key)?, value) {
        (Key::Offset(key), value) => offsets.apply(place, key, value.map(read_offset).transpose()?),
        (Key::Group(group), Some(value)) => coordinator.restore(now, group, read_group(value)?),
        (Key::Group(group), None) => coordinator.forget(&group),
        (Key::Consumer(group, key), value) => {
            let told = value.map(|value| consumer::read_value(&key, value)).transpose()?;
            coordinator.replay_consumer(now, group, key, told);
        }
        (Key::Other(_), _) => {}
    }
    Ok(())
}
