//! The command line.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Compares Farshore with its peers on this machine.
#[derive(Debug, Parser)]
#[command(name = "farshore bench", disable_help_subcommand = true)]
pub(crate) struct Bench {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One broker of ours and one of Apache Kafka, in turn, with the same client.
    Broker(Broker),
    /// Our mirror over a long line: against raw TCP on the same line, and against MirrorMaker 2. It takes root.
    Mirror(Mirror),
    /// A broker that answers and throws everything away.
    #[command(hide = true)]
    NullBroker {
        /// Where it listens on 127.0.0.1.
        #[arg(long)]
        port: u16,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Broker {
    /// Prints JSON in place of tables.
    #[arg(long)]
    pub(crate) json: bool,
    /// One short round: shows that it works, says little about speed.
    #[arg(long)]
    pub(crate) quick: bool,
    /// How many rounds; the median counts.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// How many megabytes are written and read per measurement.
    #[arg(long, default_value_t = 2000)]
    pub(crate) megabytes: u64,
    /// The farshore binary; by default the one beside this one.
    #[arg(long, env = "FARSHORE_BIN")]
    pub(crate) farshore: Option<PathBuf>,
    /// How our broker is started: {farshore}, {dir}, {port} and {flush} (os or ack) are filled in.
    #[arg(long, default_value = "{farshore} broker --data-dir {dir} --port {port} --flush {flush}")]
    pub(crate) command: String,
    /// Where data goes while it runs; by default a directory under the system's temporary one.
    #[arg(long)]
    pub(crate) directory: Option<PathBuf>,
    /// Only these subjects, for example kafka,null.
    #[arg(long, value_delimiter = ',', default_value = "kafka,os,ack,null,gateway,kafka-cluster,cluster")]
    pub(crate) only: Vec<Chosen>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Mirror {
    /// Prints JSON in place of tables.
    #[arg(long)]
    pub(crate) json: bool,
    /// How many megabytes are mirrored per measurement of throughput.
    #[arg(long, default_value_t = 1500)]
    pub(crate) megabytes: u64,
    /// For how many seconds raw streams and lag are measured.
    #[arg(long, default_value_t = 15)]
    pub(crate) seconds: u64,
    /// The line's round trip.
    #[arg(long, default_value_t = 100)]
    pub(crate) round_trip_ms: u64,
    /// The largest packet on the line: 8500 is what clouds carry between their regions.
    #[arg(long, default_value_t = 8500)]
    pub(crate) mtu: u16,
    /// The shares of packets that are lost, in percent, each a run of its own.
    #[arg(long, value_delimiter = ',', default_value = "0,0.1")]
    pub(crate) loss: Vec<f64>,
    /// The load under which lag is measured, in megabytes per second.
    #[arg(long, default_value_t = 20.0)]
    pub(crate) rate: f64,
    /// Only these subjects, besides the raw streams, for example farshore,attached.
    #[arg(long, value_delimiter = ',', default_value = "farshore,attached,mirror-maker")]
    pub(crate) only: Vec<Mirroring>,
    /// The farshore binary; by default the one beside this one.
    #[arg(long, env = "FARSHORE_BIN")]
    pub(crate) farshore: Option<PathBuf>,
    /// Where data goes while it runs; by default a directory under the system's temporary one.
    #[arg(long)]
    pub(crate) directory: Option<PathBuf>,
}

/// What mirrors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mirroring {
    /// Two regions of ours.
    Farshore,
    /// `farshore attach` between two clusters of Apache Kafka.
    Attached,
    /// MirrorMaker 2 between the same two.
    MirrorMaker,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Chosen {
    /// Apache Kafka.
    Kafka,
    /// Our broker with flush=os.
    Os,
    /// Our broker with flush before ack.
    Ack,
    /// The broker that throws everything away.
    Null,
    /// A platform, directly and through its gateway.
    Gateway,
    /// Three brokers of Apache Kafka with three replicas.
    KafkaCluster,
    /// Three of ours, with flush before ack.
    Cluster,
}

impl Broker {
    /// What `--quick` makes of it.
    pub(crate) fn settled(mut self) -> Self {
        if self.quick {
            (self.rounds, self.megabytes) = (1, self.megabytes.min(200));
        }
        self
    }
}
