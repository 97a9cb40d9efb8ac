//! The table a message is declared with, and what is made of it.
//!
//! ```text
//! message! {
//!     /// What it is for.
//!     pub struct Request (key 0, versions 3..=13, flexible 9..) -> Response {
//!         transactional_id: Option<String>,        in every version
//!         name: String [..=12],                    only up to version 12
//!         epoch: i32 [5..] = -1,                   from version 5 on, otherwise -1
//!         topics: Option<Vec<Topic>> [..; nullable 1..],   null only from version 1 on
//!         leader: Leader [10..; tag 0],            a tagged field
//!     }
//!     pub struct Topic { .. }                      nested structures, same versions
//! }
//! ```
//!
//! A field that a version does not have is left out when writing and has its default after reading. Where a version has
//! no null, `None` is written as empty. A tagged field is written only when it differs from its default.

use super::{DecodeError, EncodeError, Piece, Reader, Reason, Version, Versions, Wire, Writer};
use bytes::Bytes;

/// "Flexible in no version", for the tables.
pub(crate) const NEVER: i16 = i16::MAX;

/// The body of a request or a response.
pub trait Message: Wire {
    /// The number of its API.
    const KEY: i16;
    /// Its name, for people.
    const NAME: &'static str;
    /// The versions that can be read and written.
    const VERSIONS: Versions;
    /// The first version with the flexible encoding.
    const FLEXIBLE_FROM: i16;

    /// The same message, which tells a client to be silent for so many milliseconds; one without a field for that is as
    /// it was.
    #[must_use]
    fn throttled(&self, millis: i32) -> Self;

    /// How `number` is written.
    fn version(number: i16) -> Version {
        Version { number, flexible: number >= Self::FLEXIBLE_FROM }
    }

    /// Reads a whole body: nothing may follow it. Byte fields are slices of `body`.
    ///
    /// # Errors
    /// Which field is wrong, and how.
    fn decode(body: Bytes, version: i16) -> Result<Self, DecodeError> {
        decode_with(body, version, Reader::finish)
    }

    /// Reads a body and passes over what follows it, as Kafka does with requests: librdkafka puts three bytes too many
    /// behind a Metadata request for all topics (2.16, version 9 on).
    ///
    /// # Errors
    /// Which field is wrong, and how.
    fn decode_front(body: Bytes, version: i16) -> Result<Self, DecodeError> {
        decode_with(body, version, |_| Ok(()))
    }

    /// The body in `version`.
    ///
    /// # Errors
    /// When it has no such version, holds a placeholder or a text too long for its length field.
    fn encode(&self, version: i16) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::new();
        self.write_body(&mut writer, version)?;
        writer.finish()
    }

    /// The body in `version`, with large byte fields shared instead of copied, and placeholders in their places.
    ///
    /// # Errors
    /// As [`Message::encode`], but placeholders are welcome.
    fn encode_split(&self, version: i16) -> Result<Vec<Piece>, EncodeError> {
        let mut writer = Writer::in_pieces();
        self.write_body(&mut writer, version)?;
        writer.finish_in_pieces()
    }

    /// Appends the body in `version` to `writer`.
    ///
    /// # Errors
    /// When it has no such version.
    fn write_body(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
        if !Self::VERSIONS.contains(version) {
            return Err(EncodeError::Version { message: Self::NAME, version, versions: Self::VERSIONS });
        }
        self.write(writer, Self::version(version));
        Ok(())
    }
}

fn decode_with<M: Message>(
    body: Bytes,
    version: i16,
    end: impl FnOnce(&Reader) -> Result<(), DecodeError>,
) -> Result<M, DecodeError> {
    let read = || {
        if !M::VERSIONS.contains(version) {
            return Err(Reason::Version { version, versions: M::VERSIONS }.into());
        }
        let mut reader = Reader::new(body);
        let message = M::read(&mut reader, M::version(version))?;
        end(&reader)?;
        Ok(message)
    };
    read().map_err(|fault: DecodeError| fault.within(&format!("{} v{version}", M::NAME)))
}

/// A message that is answered.
pub trait Request: Message {
    /// What it is answered with, in the same version.
    type Response: Message;
}

/// Declares a message and its nested structures; see the head of this file.
macro_rules! message {
    (
        $(#[$meta:meta])*
        pub struct $name:ident (key $key:literal, versions $min:literal ..= $max:literal, flexible $flexible:tt ..)
            $(-> $response:ident)? { $($fields:tt)* }
        $( $(#[$inner_meta:meta])* pub struct $inner:ident { $($inner_fields:tt)* } )*
    ) => {
        $crate::codec::structure! { $(#[$meta])* $name { $($fields)* } }
        $( $crate::codec::structure! { $(#[$inner_meta])* $inner { $($inner_fields)* } } )*

        impl $crate::codec::Message for $name {
            const KEY: i16 = $key;
            const NAME: &'static str = $crate::codec::within(concat!(module_path!(), "::", stringify!($name)));
            const VERSIONS: $crate::codec::Versions = $crate::codec::Versions::new($min, $max);
            const FLEXIBLE_FROM: i16 = $flexible;

            fn throttled(&self, millis: i32) -> Self {
                let mut this = self.clone();
                this.set_throttle(millis);
                this
            }
        }

        $( impl $crate::codec::Request for $name { type Response = $response; } )?
    };
}

/// A structure with its default, its two codecs and its unknown tagged fields.
macro_rules! structure {
    ($(#[$meta:meta])* $name:ident {
        $( $(#[$field_meta:meta])* $field:ident : $type:ty $([ $($spec:tt)+ ])? $(= $default:expr)? ),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[doc = $crate::codec::field_doc!($field $([ $($spec)+ ])? $(= $default)?)]
                pub $field: $type,
            )*
            /// Tagged fields that are not known here.
            pub unknown_tags: $crate::codec::Tags,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $( $field: $crate::codec::initial!($type $(= $default)?), )*
                    unknown_tags: Default::default(),
                }
            }
        }

        impl $name {
            /// Only the body of a response has such a field.
            #[allow(dead_code, unused_variables)]
            fn set_throttle(&mut self, millis: i32) {
                $( $crate::codec::set_throttle!(self millis $field); )*
            }

            #[allow(unused_variables)]
            fn read_known_tag(
                &mut self, reader: &mut $crate::codec::Reader, version: $crate::codec::Version, tag: u32,
            ) -> Result<bool, $crate::codec::DecodeError> {
                $( $crate::codec::read_tag!(self reader version tag $field $([ $($spec)+ ])?); )*
                Ok(false)
            }
        }

        impl $crate::codec::Wire for $name {
            const SIZE_MIN: usize = 0 $( + $crate::codec::size_min!($type $([ $($spec)+ ])?) )*;

            fn read(
                reader: &mut $crate::codec::Reader, version: $crate::codec::Version,
            ) -> Result<Self, $crate::codec::DecodeError> {
                let mut this = Self::default();
                $( $crate::codec::read_field!(this reader version $field $([ $($spec)+ ])?); )*
                if version.flexible {
                    this.unknown_tags =
                        $crate::codec::Tags::read(reader, |reader, tag| this.read_known_tag(reader, version, tag))?;
                }
                Ok(this)
            }

            fn write(&self, writer: &mut $crate::codec::Writer, version: $crate::codec::Version) {
                $( $crate::codec::write_field!(self writer version $field $([ $($spec)+ ])?); )*
                if version.flexible {
                    #[allow(unused_mut)]
                    let mut tags = $crate::codec::Tags::default();
                    $( $crate::codec::write_tag!(
                        self writer version tags $field ($crate::codec::initial!($type $(= $default)?)) $([ $($spec)+ ])?
                    ); )*
                    self.unknown_tags.write(tags, writer);
                }
            }
        }

        impl $crate::codec::Wire for Option<$name> {
            const SIZE_MIN: usize = 1;

            fn read(
                reader: &mut $crate::codec::Reader, version: $crate::codec::Version,
            ) -> Result<Self, $crate::codec::DecodeError> {
                $crate::codec::read_maybe(reader, version)
            }

            fn write(&self, writer: &mut $crate::codec::Writer, version: $crate::codec::Version) {
                $crate::codec::write_maybe(self.as_ref(), writer, version);
            }
        }

        #[cfg(any(test, feature = "testing"))]
        impl $crate::testing::Generate for $name {
            fn generate(random: &mut $crate::testing::Random, version: $crate::codec::Version) -> Self {
                let mut this = Self::default();
                $( $crate::codec::generate_field!(this random version $field $([ $($spec)+ ])?); )*
                if version.flexible {
                    this.unknown_tags = random.unknown_tags();
                }
                this
            }
        }

        #[cfg(any(test, feature = "testing"))]
        impl $crate::testing::Generate for Option<$name> {
            fn generate(random: &mut $crate::testing::Random, version: $crate::codec::Version) -> Self {
                random.chance(2).then(|| $crate::testing::Generate::generate(random, version))
            }
        }
    };
}

/// `` `name` in versions `10..; tag 0`, otherwise `-1` ``
macro_rules! field_doc {
    ($field:ident $([ $($spec:tt)+ ])? $(= $default:expr)?) => {
        concat!(
            "`", stringify!($field), "`"
            $(, ", versions `", stringify!($($spec)+), "`")?
            $(, ", default `", stringify!($default), "`")?
        )
    };
}

macro_rules! initial {
    ($type:ty = $default:expr) => {
        $default
    };
    ($type:ty) => {
        <$type as Default>::default()
    };
}

/// Only a field that every version has counts.
macro_rules! size_min {
    ($type:ty [ $($spec:tt)+ ]) => {
        0
    };
    ($type:ty) => {
        <$type as $crate::codec::Wire>::SIZE_MIN
    };
}

macro_rules! if_versions {
    ($version:ident $versions:expr, $then:block) => {
        if std::ops::RangeBounds::<i16>::contains(&$versions, &$version.number) $then
    };
}

macro_rules! read_field {
    ($this:ident $reader:ident $version:ident $field:ident) => {
        $this.$field = $crate::codec::Wire::read($reader, $version).map_err(|fault| fault.within(stringify!($field)))?;
    };
    ($this:ident $reader:ident $version:ident $field:ident [$versions:expr]) => {
        $crate::codec::if_versions!($version $versions, {
            $crate::codec::read_field!($this $reader $version $field);
        });
    };
    ($this:ident $reader:ident $version:ident $field:ident [$versions:expr; nullable $nullable:expr]) => {
        $crate::codec::if_versions!($version $versions, {
            $crate::codec::read_field!($this $reader $version $field);
            if $this.$field.is_none() && !std::ops::RangeBounds::<i16>::contains(&$nullable, &$version.number) {
                let fault = $crate::codec::DecodeError::new($crate::codec::Reason::Null);
                return Err(fault.within(stringify!($field)));
            }
        });
    };
    ($this:ident $reader:ident $version:ident $field:ident [$versions:expr; tag $tag:literal]) => {};
}

macro_rules! read_tag {
    ($this:ident $reader:ident $version:ident $tag:ident $field:ident [$versions:expr; tag $number:literal]) => {
        $crate::codec::if_versions!($version $versions, {
            if $tag == $number {
                $crate::codec::read_field!($this $reader $version $field);
                return Ok(true);
            }
        });
    };
    ($($other:tt)*) => {};
}

macro_rules! set_throttle {
    ($this:ident $millis:ident throttle_time_ms) => {
        $this.throttle_time_ms = $millis;
    };
    ($this:ident $millis:ident $other:ident) => {};
}

macro_rules! write_field {
    ($this:ident $writer:ident $version:ident $field:ident) => {
        $crate::codec::Wire::write(&$this.$field, $writer, $version);
    };
    ($this:ident $writer:ident $version:ident $field:ident [$versions:expr]) => {
        $crate::codec::if_versions!($version $versions, {
            $crate::codec::write_field!($this $writer $version $field);
        });
    };
    ($this:ident $writer:ident $version:ident $field:ident [$versions:expr; nullable $nullable:expr]) => {
        $crate::codec::if_versions!($version $versions, {
            if std::ops::RangeBounds::<i16>::contains(&$nullable, &$version.number) {
                $crate::codec::write_field!($this $writer $version $field);
            } else {
                $crate::codec::Nullable::write_present(&$this.$field, $writer, $version);
            }
        });
    };
    ($this:ident $writer:ident $version:ident $field:ident [$versions:expr; tag $tag:literal]) => {};
}

macro_rules! write_tag {
    ($this:ident $writer:ident $version:ident $tags:ident $field:ident ($default:expr)
        [$versions:expr; tag $number:literal]) => {
        $crate::codec::if_versions!($version $versions, {
            if $this.$field != $default {
                $tags.push_value($number, &$this.$field, $writer, $version);
            }
        });
    };
    ($($other:tt)*) => {};
}

#[cfg(any(test, feature = "testing"))]
macro_rules! generate_field {
    ($this:ident $random:ident $version:ident $field:ident) => {
        $this.$field = $crate::testing::Generate::generate($random, $version);
    };
    ($this:ident $random:ident $version:ident $field:ident [$versions:expr]) => {
        $crate::codec::if_versions!($version $versions, {
            $crate::codec::generate_field!($this $random $version $field);
        });
    };
    ($this:ident $random:ident $version:ident $field:ident [$versions:expr; nullable $nullable:expr]) => {
        $crate::codec::if_versions!($version $versions, {
            $crate::codec::generate_field!($this $random $version $field);
            if !std::ops::RangeBounds::<i16>::contains(&$nullable, &$version.number) {
                $this.$field.get_or_insert_default();
            }
        });
    };
    ($this:ident $random:ident $version:ident $field:ident [$versions:expr; tag $tag:literal]) => {
        $crate::codec::if_versions!($version $versions, {
            if $random.chance(2) {
                $crate::codec::generate_field!($this $random $version $field);
            }
        });
    };
}

/// The last two segments of a path: `produce::Request`.
pub(crate) const fn within(path: &'static str) -> &'static str {
    let bytes = path.as_bytes();
    let mut at = bytes.len();
    let mut colons = 0;
    while at > 0 && colons < 3 {
        at -= 1;
        if bytes[at] == b':' {
            colons += 1;
        }
    }
    if colons < 3 { path } else { path.split_at(at + 1).1 }
}

#[cfg(any(test, feature = "testing"))]
pub(crate) use generate_field;
pub(crate) use {
    field_doc, if_versions, initial, message, read_field, read_tag, set_throttle, size_min, structure, write_field,
    write_tag,
};
