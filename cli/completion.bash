# bash completion for doorpost(1)
_doorpost() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]} words
  COMPREPLY=()
  case $before in
    -c | --conf | -K | --key-file | --from)
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    -J | --journal)
      mapfile -t COMPREPLY < <(compgen -d -- "$word")
      return
      ;;
    --user)
      mapfile -t COMPREPLY < <(compgen -u -- "$word")
      return
      ;;
    -S | --since | -U | --until)
      mapfile -t COMPREPLY < <(compgen -W 'now today yesterday' -- "$word")
      return
      ;;
  esac
  if ((COMP_CWORD == 1)); then
    words='init doctor key sign verify-signature trigger log exec stats check prune rejected help version --help --version'
  else
    case $verb in
      help) words='init doctor key sign verify-signature trigger log exec stats check prune rejected' ;;
      init) words='--key-file --journal --generate --user --repair' ;;
      doctor) words='--url --user --json --conf --journal --key-file' ;;
      key) words='list add retire --json --from --conf --key-file' ;;
      sign) words='--base64 --conf --key-file' ;;
      verify-signature) words='--signature --conf --key-file' ;;
      trigger)
        words='button_press motion_detected device_added device_removed device_online device_offline
          app_integration_added app_integration_removed subscription_activated subscription_deactivated
          --url --count --device --account --duplicate --bad-signature --stale --retry --print --conf --key-file'
        ;;
      log) words='--follow --lines --since --until --device --account --type --utc --json --conf --journal' ;;
      exec)
        words='--name --type --device --account --jobs --timeout --grace --once --from --retry-failed --retry --drop --failed --status --json --conf --journal'
        ;;
      stats) words='--since --until --device --account --type --utc --json --prometheus --conf --journal' ;;
      check) words='--rebuild-index --no-signatures --json --conf --journal --key-file' ;;
      prune) words='--keep --dry-run --force --conf --journal' ;;
      rejected) words='--replay --body --json --since --until --utc --conf --journal --key-file' ;;
    esac
    words+=' --help'
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  case $verb in
    init | sign | verify-signature)
      [[ $word == -* ]] || ((COMP_CWORD == 1)) || mapfile -t COMPREPLY < <(compgen -f -- "$word")
      ;;
  esac
}
complete -F _doorpost doorpost
