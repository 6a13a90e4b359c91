#!/bin/sh
# The event as an MQTT message, as Home Assistant and others take it (mosquitto-clients):
#
#   doorpost exec --name mqtt -- deploy/on-press/mqtt.sh broker.local doorpost
#
# The topic is PREFIX/TYPE. User and password, if the broker wants them, go into ~/.config/mosquitto_pub, where no process list
# shows them. In Home Assistant: trigger "MQTT", topic doorpost/button_press, value_template
# {{ value_json.data.attributes.source }}.
set -eu
broker=${1:?mqtt.sh BROKER [PREFIX]}
exec mosquitto_pub -h "$broker" -q 1 -t "${2:-doorpost}/$DOORPOST_TYPE" -s
