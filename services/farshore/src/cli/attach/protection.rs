//! How the two clusters are reached: the same options for both sides.

use anyhow::{Context, Result, bail, ensure};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::env;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use wire::client::{Credentials, Mechanism, Password, Security, Tls, TlsFiles};

/// The names of the options of one side.
#[derive(Clone, Copy, Debug)]
struct Names {
    side: &'static str,
    heading: &'static str,
    protocol: &'static str,
    mechanism: &'static str,
    user: &'static str,
    password_file: &'static str,
    ca_file: &'static str,
    certificate_file: &'static str,
    key_file: &'static str,
    no_name_check: &'static str,
}

macro_rules! names {
    ($side:literal) => {
        Names {
            side: $side,
            heading: concat!("Protection of the ", $side),
            protocol: concat!($side, "-security-protocol"),
            mechanism: concat!($side, "-sasl-mechanism"),
            user: concat!($side, "-user"),
            password_file: concat!($side, "-password-file"),
            ca_file: concat!($side, "-ca-file"),
            certificate_file: concat!($side, "-certificate-file"),
            key_file: concat!($side, "-key-file"),
            no_name_check: concat!($side, "-no-name-check"),
        }
    };
}

const SIDES: [Names; 2] = [names!("source"), names!("target")];
const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
/// The largest file of a password, bytes.
const PASSWORD_BYTES_MAX: u64 = 1 << 16;

/// What was asked for, of both sides.
#[derive(Debug)]
pub(super) struct Protection([Asked; 2]);

/// What was asked for, of one side.
#[derive(Debug)]
struct Asked {
    names: Names,
    protocol: Option<String>,
    mechanism: Option<Mechanism>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    certificate_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    no_name_check: bool,
}

impl Protection {
    /// How the source and how the target is reached. Files are read now.
    pub(super) fn prepare(&self) -> Result<[Security; 2]> {
        let [source, target] = &self.0;
        Ok([source.security()?, target.security()?])
    }
}

impl clap::Args for Protection {
    fn augment_args(command: Command) -> Command {
        SIDES.into_iter().fold(command, |command, side| command.args(arguments(side)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Protection {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(SIDES.map(|side| Asked::of(side, matches))))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn arguments(names: Names) -> [Arg; 8] {
    let argument = |name: &'static str, help: String| Arg::new(name).long(name).help(help).help_heading(names.heading);
    let file = |name: &'static str, help: &str| {
        argument(name, help.to_owned()).value_name("FILE").value_parser(value_parser!(PathBuf))
    };
    let password = format!("Holds the user's password; without it {} does", variable(names.side));
    [
        argument(names.protocol, "What its listener speaks [default: PLAINTEXT]".to_owned())
            .value_name("PROTOCOL")
            .ignore_case(true)
            .value_parser(PossibleValuesParser::new(PROTOCOLS)),
        argument(names.mechanism, "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512".to_owned())
            .value_name("MECHANISM")
            .value_parser(str::parse::<Mechanism>),
        argument(names.user, "As whom to come".to_owned()).value_name("NAME"),
        file(names.password_file, &password),
        file(names.ca_file, "Certificates of the authorities that are trusted, PEM [default: the system's]"),
        file(names.certificate_file, "This client's own certificate, PEM, where the cluster asks for one"),
        file(names.key_file, "Its private key, PEM, without a passphrase"),
        argument(names.no_name_check, "Take any name in a certificate of a trusted authority".to_owned())
            .action(ArgAction::SetTrue),
    ]
}

/// The variable of the environment that holds a password.
fn variable(side: &str) -> String {
    format!("FARSHORE_{}_PASSWORD", side.to_uppercase())
}

impl Asked {
    fn of(names: Names, matches: &ArgMatches) -> Self {
        let file = |of: &str| matches.get_one::<PathBuf>(of).cloned();
        Self {
            names,
            protocol: matches.get_one::<String>(names.protocol).map(|text| text.to_uppercase()),
            mechanism: matches.get_one::<Mechanism>(names.mechanism).copied(),
            user: matches.get_one::<String>(names.user).cloned(),
            password_file: file(names.password_file),
            ca_file: file(names.ca_file),
            certificate_file: file(names.certificate_file),
            key_file: file(names.key_file),
            no_name_check: matches.get_flag(names.no_name_check),
        }
    }

    fn security(&self) -> Result<Security> {
        let protocol = self.protocol.as_deref().unwrap_or(PROTOCOLS[0]);
        let (is_tls, is_sasl) = (protocol.ends_with("SSL"), protocol.starts_with("SASL"));
        self.refuse_what_is_of_no_use(protocol, is_tls, is_sasl)?;
        let tls = if is_tls { Some(self.tls()?) } else { None };
        let credentials = if is_sasl { Some(self.credentials(protocol)?) } else { None };
        let is_bare = !is_tls && credentials.as_ref().is_some_and(|by| by.mechanism == Mechanism::Plain);
        if is_bare {
            tracing::warn!(
                "the password of the {} cluster crosses the network in plain text; SASL_SSL hides it",
                self.names.side
            );
        }
        Ok(Security { tls, credentials, probes: true })
    }

    /// An option that would change nothing was meant to change something.
    fn refuse_what_is_of_no_use(&self, protocol: &str, is_tls: bool, is_sasl: bool) -> Result<()> {
        let names = &self.names;
        let of_tls = [
            (names.ca_file, self.ca_file.is_some()),
            (names.certificate_file, self.certificate_file.is_some()),
            (names.key_file, self.key_file.is_some()),
            (names.no_name_check, self.no_name_check),
        ];
        let of_sasl = [
            (names.mechanism, self.mechanism.is_some()),
            (names.user, self.user.is_some()),
            (names.password_file, self.password_file.is_some()),
        ];
        for (options, is_used, needed) in [(&of_tls[..], is_tls, "SSL or SASL_SSL"), (&of_sasl, is_sasl, "SASL_SSL")] {
            let idle = options.iter().find(|(_, is_given)| *is_given && !is_used);
            if let Some((option, _)) = idle {
                bail!("--{option} changes nothing with {protocol}: add --{} {needed}", names.protocol);
            }
        }
        Ok(())
    }

    fn tls(&self) -> Result<Tls> {
        let names = &self.names;
        let own = match (&self.certificate_file, &self.key_file) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            _ => bail!("--{} and --{} go together: name both", names.certificate_file, names.key_file),
        };
        let files = TlsFiles { authorities: self.ca_file.clone(), own, any_name: self.no_name_check };
        Tls::new(&files).with_context(|| format!("TLS to the {} cluster", names.side))
    }

    fn credentials(&self, protocol: &str) -> Result<Credentials> {
        let needed = |option: &str| format!("{protocol} needs --{option}");
        Ok(Credentials {
            mechanism: self.mechanism.with_context(|| needed(self.names.mechanism))?,
            user: self.user.clone().with_context(|| needed(self.names.user))?,
            password: self.password()?,
        })
    }

    fn password(&self) -> Result<Password> {
        let (option, variable) = (self.names.password_file, variable(self.names.side));
        match (&self.password_file, env::var(&variable)) {
            (Some(path), _) => read(path).with_context(|| format!("--{option} {}", path.display())),
            (None, Ok(password)) => Ok(Password::new(password)),
            (None, Err(_)) => bail!("no password: name a file with --{option}, or set {variable}"),
        }
    }
}

/// The password in the file at `path`, without the end of its line.
fn read(path: &Path) -> Result<Password> {
    let mut text = String::new();
    File::open(path)?.take(PASSWORD_BYTES_MAX + 1).read_to_string(&mut text)?;
    ensure!(text.len() as u64 <= PASSWORD_BYTES_MAX, "it is larger than {PASSWORD_BYTES_MAX} bytes");
    let password = text.trim_end_matches(['\r', '\n']);
    ensure!(!password.is_empty(), "it is empty");
    Ok(Password::new(password))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        protection: Protection,
    }

    fn refusal(line: &str) -> String {
        let line = Line::try_parse_from(std::iter::once("attach").chain(line.split_whitespace())).unwrap();
        format!("{:#}", line.protection.prepare().unwrap_err())
    }

    #[test]
    fn without_options_nothing_is_protected() {
        let [source, target] = Line::try_parse_from(["attach"]).unwrap().protection.prepare().unwrap();
        assert!([source, target].iter().all(|side| side.tls.is_none() && side.credentials.is_none()));
    }

    #[test]
    fn sides_differ_and_the_password_is_in_a_file() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("password");
        std::fs::write(&path, "pencil\n").unwrap();
        let line = format!(
            "--target-security-protocol sasl_plaintext --target-sasl-mechanism scram-sha-256 --target-user link \
             --target-password-file {}",
            path.display()
        );
        let line = Line::try_parse_from(std::iter::once("attach").chain(line.split_whitespace())).unwrap();
        let [source, target] = line.protection.prepare().unwrap();
        assert!(source.credentials.is_none());
        let credentials = target.credentials.unwrap();
        assert_eq!((credentials.mechanism, credentials.user.as_str()), (Mechanism::ScramSha256, "link"));
        std::fs::write(&path, "\n").unwrap();
        assert!(format!("{:#}", read(&path).unwrap_err()).contains("empty"));
    }

    #[test]
    fn what_is_missing_or_of_no_use_is_named() {
        let cases = [
            ("--source-ca-file ca.pem", "--source-security-protocol SSL"),
            ("--source-user link", "--source-security-protocol SASL_SSL"),
            ("--source-security-protocol SSL --source-key-file k", "--source-certificate-file and --source-key-file"),
            ("--target-security-protocol SASL_PLAINTEXT", "needs --target-sasl-mechanism"),
            ("--target-security-protocol SSL --target-ca-file /nowhere", "/nowhere: No such file"),
            (
                "--target-security-protocol SASL_PLAINTEXT --target-sasl-mechanism PLAIN --target-user u",
                "--target-password-file, or set FARSHORE_TARGET_PASSWORD",
            ),
        ];
        for (line, expected) in cases {
            let told = refusal(line);
            assert!(told.contains(expected), "{line}: {told}");
        }
    }
}
