#!/bin/sh
# Publishes each event to an MQTT broker, and announces each doorbell to Home Assistant by MQTT discovery: an event entity (device class
# doorbell) and an image entity with the picture of the last press. Settings: MQTT_BROKER, MQTT_PORT, MQTT_USER, MQTT_PASSWORD, MQTT_CA,
# MQTT_PREFIX, MQTT_DISCOVERY (settings.sh says where). Needs mosquitto-clients.
#
#   doorpost exec --name mqtt --timeout 60s -- deploy/on-press/mqtt.sh [BROKER [PREFIX]]
#
# Topics: PREFIX/TYPE is every event as Ring sent it; PREFIX/DEVICE/event and PREFIX/DEVICE/picture belong to the two entities.
set -eu
# shellcheck source=/dev/null
. "$(dirname "$0")/settings.sh"
MQTT_BROKER=${1:-${MQTT_BROKER:-}}
prefix=${2:-${MQTT_PREFIX:-doorpost}}
need MQTT_BROKER "the broker's host name"
need_program mosquitto_pub mosquitto-clients
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/event"

# mosquitto_pub reads options from a file, so that no password is among its arguments.
{
  [ -z "${MQTT_USER:-}" ] || printf -- '-u %s\n' "$MQTT_USER"
  [ -z "${MQTT_PASSWORD:-}" ] || printf -- '-P %s\n' "$MQTT_PASSWORD"
  [ -z "${MQTT_CA:-}" ] || printf -- '--cafile %s\n' "$MQTT_CA"
} >"$work/mosquitto_pub"
publish() { # TOPIC, options
  topic=$1
  shift
  XDG_CONFIG_HOME=$work mosquitto_pub -h "$MQTT_BROKER" -p "${MQTT_PORT:-1883}" -q 1 -t "$topic" "$@"
}

publish "$prefix/$DOORPOST_TYPE" -s <"$work/event"
[ "$DOORPOST_TYPE" = button_press ] || exit 0

id=$(printf %s "$DOORPOST_DEVICE_ID" | tr -c 'A-Za-z0-9_-' _) # what a topic and an entity may contain
discovery=${MQTT_DISCOVERY-homeassistant}
if [ -n "$discovery" ]; then
  device="\"device\":{\"identifiers\":[\"doorpost_$id\"],\"name\":\"Doorbell $id\",\"manufacturer\":\"Ring\"}"
  publish "$discovery/event/doorpost_$id/config" -r -m "{\"name\":\"Press\",\"unique_id\":\"doorpost_${id}_press\",\"device_class\":\"doorbell\",\"event_types\":[\"press\"],\"state_topic\":\"$prefix/$id/event\",$device}"
  publish "$discovery/image/doorpost_$id/config" -r -m "{\"name\":\"Last press\",\"unique_id\":\"doorpost_${id}_picture\",\"content_type\":\"image/jpeg\",\"image_topic\":\"$prefix/$id/picture\",$device}"
fi
publish "$prefix/$id/event" -m "{\"event_type\":\"press\",\"seq\":$DOORPOST_SEQ,\"timestamp\":$DOORPOST_TIMESTAMP}"
if picture "$work/door.jpg" "$work/event"; then publish "$prefix/$id/picture" -r -f "$work/door.jpg"; fi
