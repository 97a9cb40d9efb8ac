use std::fmt;

/// An access key and its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name of the key; it is sent with every request.
    pub access_key: String,
    /// What signs the requests; it is never sent and never shown.
    pub secret_key: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_never_shown() {
        let credentials = Credentials { access_key: "farshore".into(), secret_key: "sesame".into() };
        assert!(!format!("{credentials:?}").contains("sesame"));
    }
}
