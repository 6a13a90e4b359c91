#compdef doorpost
# zsh completion for doorpost(1)

local -a verbs conf journal keys times chosen
verbs=(
  'init:make the directories, the key file and the settings'
  'doctor:check the whole chain'
  'key:list, add and retire signing keys'
  'sign:print the X-Signature of a body'
  'verify-signature:does a signature hold, and if not, why not?'
  'trigger:send a fresh, signed event, as Ring would'
  'log:show what was received'
  'exec:run a command for each event'
  'stats:count presses by day, hour and device'
  'check:verify the whole journal'
  'prune:delete the oldest days'
  'rejected:show what was signed but unusable'
  'help:tell about a verb'
  'version:tell the version'
)
conf=('(-c --conf)'{-c,--conf}'[the env file with the settings]:file:_files')
journal=('(-J --journal)'{-J,--journal}'[the journal]:directory:_files -/')
keys=('(-K --key-file)'{-K,--key-file}'[the key file]:file:_files')
times=('--since[received at or after]:time:(today yesterday)' '--until[received before]:time:(now today)' '--utc[times in UTC]')
chosen=('*--device[of this device]:id:' '*--account[of this account]:id:' '*--type[of this type]:type:')

if ((CURRENT == 2)); then
  _describe verb verbs
  return
fi
local verb=$words[2]
shift words
((CURRENT--))
case $verb in
  help) _describe verb verbs ;;
  init) _arguments $keys $journal '--generate[make a key for tests]' '--user[the web server user]:user:_users' '--repair[give settings and key to root]' '1:directory:_files -/' ;;
  doctor) _arguments $conf $journal $keys '--url[the endpoint]:url:' '--user[the web server user]:user:_users' '--json[as JSON]' ;;
  key) _arguments $conf $keys '--json[as JSON]' '--from[the new key]:file:_files' '1:what:(list add retire)' '2:fingerprint:' ;;
  sign) _arguments $conf $keys '--base64[the decoded key]' '1:body:_files' ;;
  verify-signature) _arguments $conf $keys '--signature[the header]:signature:' '1:body:_files' ;;
  trigger)
    _arguments $conf $keys '--url[the endpoint]:url:' '--count[so many]:number:' '--device[of this device]:id:' \
      '--account[of this account]:id:' '--duplicate[each twice]' '--bad-signature[must be refused]' '--stale[sent 30 days ago]' \
      '--retry[as Ring does]' '--print[send nothing]' \
      '1:type:(button_press motion_detected device_added device_removed device_online device_offline app_integration_added app_integration_removed subscription_activated subscription_deactivated)'
    ;;
  log) _arguments $conf $journal $times $chosen '(-f --follow)'{-f,--follow}'[show what comes]' '(-n --lines)'{-n,--lines}'[the last alone]:number:' '--json[as JSON]' ;;
  exec)
    _arguments $conf $journal $chosen '--name[of the consumer]:name:' '--jobs[at a time]:number:' '--timeout[of a command]:time:' \
      '--grace[on SIGTERM]:time:' '--once[run what is there]' '--from[where to begin]:place:(start end)' \
      '--retry-failed[run those once more]' '--retry[run this one once more]:id:' '--drop[do not run this one again]:id:' \
      '--failed[show what has failed]' '--status[show each consumer]' '--json[as JSON]' '*::command:_normal'
    ;;
  stats) _arguments $conf $journal $times $chosen '--json[as JSON]' '--prometheus[for node_exporter]' ;;
  check) _arguments $conf $journal $keys '--rebuild-index[make it anew]' '--no-signatures[leave them alone]' '--json[as JSON]' ;;
  prune) _arguments $conf $journal '--keep[how much]:time:(30d 90d 365d)' '--dry-run[only say what]' '--force[also what was not run]' ;;
  rejected) _arguments $conf $journal $keys $times '--replay[decide them anew]' '--body[print the body]' '--json[as JSON]' '1:name:' ;;
esac
