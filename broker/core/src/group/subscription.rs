use bytes::{Buf, Bytes};

/// The topics a consumer subscribes to, read from its protocol metadata (`ConsumerProtocolSubscription`); `None` when
/// the bytes are not of that form.
pub(super) fn subscribed_topics(metadata: &Bytes) -> Option<Vec<String>> {
    let mut rest = metadata.clone();
    let _version = rest.try_get_i16().ok()?;
    let count = usize::try_from(rest.try_get_i32().ok()?).ok()?;
    // A topic takes at least two bytes, so the count is bounded by what is there.
    if count > rest.remaining() / 2 {
        return None;
    }
    (0..count).map(|_| text(&mut rest)).collect()
}

fn text(rest: &mut Bytes) -> Option<String> {
    let length = usize::try_from(rest.try_get_i16().ok()?).ok()?;
    let bytes = (length <= rest.remaining()).then(|| rest.split_to(length))?;
    String::from_utf8(bytes.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_from_a_subscription() {
        let bytes = Bytes::from_static(b"\0\x01\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff");
        assert_eq!(subscribed_topics(&bytes), Some(vec!["a".into(), "bc".into()]));
    }

    #[test]
    fn what_is_no_subscription_is_none() {
        assert_eq!(subscribed_topics(&Bytes::from_static(b"\0\x01\x7f\xff\xff\xff")), None);
        assert_eq!(subscribed_topics(&Bytes::from_static(b"\0\x01\0\0\0\x01\0\x09ab")), None);
        assert_eq!(subscribed_topics(&Bytes::new()), None);
    }
}
