"""`minicodec completion`: a script that makes the Tab key complete commands and options, and after them files."""

import argparse
import shlex

from minicodec.cli import COMMANDS, build

EPILOG = """\
To have it in every shell, once:
  bash    minicodec completion bash > ~/.local/share/bash-completion/completions/minicodec
  zsh     minicodec completion zsh > ~/.zfunc/_minicodec        with fpath+=~/.zfunc before compinit in ~/.zshrc
  fish    minicodec completion fish > ~/.config/fish/completions/minicodec.fish
Or in this one: source <(minicodec completion bash)
"""

BASH = """\
_minicodec() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} words
    if (( COMP_CWORD == 1 )); then
        words={commands}
    else
        case ${{COMP_WORDS[1]}} in
{cases}
        esac
    fi
    if [[ $word == -* ]] || (( COMP_CWORD == 1 )); then
        COMPREPLY=($(compgen -W "$words" -- "$word"))
    fi
}}
complete -o default -F _minicodec minicodec
"""

ZSH = """\
#compdef minicodec
_minicodec() {{
    local -a commands options
    commands=(
{commands}
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    case ${{words[2]}} in
{cases}
    esac
    if [[ ${{words[CURRENT]}} == -* ]]; then
        _describe option options
    else
        _files
    fi
}}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _minicodec "$@"
else
    compdef _minicodec minicodec
fi
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    print({"bash": bash, "zsh": zsh, "fish": fish}[args.shell](), end="")
    return 0


def options(command: str) -> list[tuple[list[str], str]]:
    """(spellings, the first sentence of what it is for) of each option of a command."""
    actions = build(command)[1]._actions
    return [
        (list(action.option_strings), (action.help or "").replace("%%", "%").split(";")[0].split(":")[0])
        for action in actions
        if action.option_strings
    ]


def bash() -> str:
    """For bash; default completion, which is of files, where there is nothing to say."""
    cases = []
    for command in COMMANDS:
        words = " ".join(word for spellings, _ in options(command) for word in spellings)
        cases.append(f"            {command}) words={shlex.quote(words)} ;;")
    return BASH.format(commands=shlex.quote(" ".join([*COMMANDS, "help"])), cases="\n".join(cases))


def zsh() -> str:
    """For zsh, with descriptions."""

    def described(word: str, text: str) -> str:
        return shlex.quote(f"{word}:{text}")

    commands = [f"        {described(name, summary)}" for name, summary in COMMANDS.items()]
    cases = []
    for command in COMMANDS:
        words = [described(word, text) for spellings, text in options(command) for word in spellings]
        cases.append(f"        {command}) options=({' '.join(words)}) ;;")
    return ZSH.format(commands="\n".join(commands), cases="\n".join(cases))


def fish() -> str:
    """For fish, with descriptions."""
    lines = [
        f"complete -c minicodec -n __fish_use_subcommand -f -a {name} -d {shlex.quote(summary)}"
        for name, summary in COMMANDS.items()
    ]
    for command in COMMANDS:
        for spellings, text in options(command):
            words = [f"-l {word[2:]}" if word.startswith("--") else f"-s {word[1:]}" for word in spellings]
            where = f"-n '__fish_seen_subcommand_from {command}'"
            lines.append(f"complete -c minicodec {where} {' '.join(words)} -d {shlex.quote(text)}")
    return "\n".join(lines) + "\n"
