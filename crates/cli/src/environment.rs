//! The environment that a guest starts in.

use clap::Args;
use pentimento::MachineBuilder;

use crate::arguments::environment_variable;

/// Options of `pentimento run` about environment and working folder.
#[derive(Args, Debug)]
pub(crate) struct EnvironmentOptions {
    /// Set an environment variable; may be repeated. Without it the guest sees PATH, HOME, LANG and,
    /// on a terminal, TERM; never a variable of the host.
    #[arg(long = "env", value_name = "KEY=VALUE", value_parser = environment_variable)]
    pub(crate) variables: Vec<(String, String)>,
    /// Leave all environment variables out but those of --env.
    #[arg(long)]
    pub(crate) clear_env: bool,
    /// The guest's working folder; with --root / unless given.
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
}

impl EnvironmentOptions {
    /// Tells the builder.
    pub(crate) fn apply(&self, mut builder: MachineBuilder) -> MachineBuilder {
        if self.clear_env {
            builder = builder.clear_environment();
        }
        if let Some(directory) = &self.cwd {
            builder = builder.working_directory(directory.as_str());
        }
        self.variables
            .iter()
            .fold(builder, |builder, (key, value)| builder.environment(key.as_str(), value.as_str()))
    }
}
