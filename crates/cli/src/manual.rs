//! `pentimento completions` and `pentimento man`: made of the same definitions as `--help`.

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::output;

/// Options of `pentimento completions`.
#[derive(Args, Debug)]
#[command(after_help = COMPLETIONS_HELP)]
pub(crate) struct CompletionsOptions {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

const COMPLETIONS_HELP: &str = "For bash: pentimento completions bash > ~/.local/share/bash-completion/completions/pentimento\n\
    For zsh, in a folder of $fpath: pentimento completions zsh > _pentimento\n\
    For fish: pentimento completions fish > ~/.config/fish/completions/pentimento.fish";

/// Options of `pentimento man`.
#[derive(Args, Debug)]
#[command(
    after_help = "To read it: pentimento man | man -l -\nTo keep it: pentimento man > ~/.local/share/man/man1/pentimento.1"
)]
pub(crate) struct ManOptions {
    /// The command that the page is about, such as run; without it, all of them.
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

/// Prints the completions for a shell.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn completions(options: &CompletionsOptions) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), "pentimento", &mut script);
    output::print_text(script)?;
    Ok(0)
}

/// Prints a page of the manual.
///
/// # Errors
/// There is no such command, or standard output cannot be written.
pub(crate) fn man(options: &ManOptions) -> Result<u8, Failure> {
    let mut command = Arguments::command();
    // Gives the commands their full names: `pentimento-run`.
    command.build();
    let command = match &options.command {
        None => command,
        Some(name) => subcommand(&command, name)?,
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    output::print_text(page)?;
    Ok(0)
}

/// A command by its name.
fn subcommand(command: &Command, name: &str) -> Result<Command, Failure> {
    let Some(found) = command.find_subcommand(name) else {
        let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        return Err(Failure::new(format!("no command '{name}'; the commands are {}", names.join(", "))));
    };
    Ok(found.clone())
}
