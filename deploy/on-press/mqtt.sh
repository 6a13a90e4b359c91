#!/bin/sh
# Publishes the event as an MQTT message, for Home Assistant and others (mosquitto-clients):
#
#   doorpost exec --name mqtt -- deploy/on-press/mqtt.sh broker.local doorpost
#
# The topic is PREFIX/TYPE. If the broker requires a user and password, put them in ~/.config/mosquitto_pub, so that they do not
# appear in the process list. In Home Assistant: trigger "MQTT", topic doorpost/button_press, value_template
# {{ value_json.data.attributes.source }}.
set -eu
broker=${1:?mqtt.sh BROKER [PREFIX]}
exec mosquitto_pub -h "$broker" -q 1 -t "${2:-doorpost}/$DOORPOST_TYPE" -s
