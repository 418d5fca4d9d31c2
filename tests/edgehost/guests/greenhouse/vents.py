"""Opens and closes the vents of a greenhouse: a component as AWS's documentation has one write it.

Hears thermometers on a local topic and commands from the cloud; tells the cloud what the vents do.
"""

import json
import os
import queue
import signal
import sys
from pathlib import Path

import awsiot.greengrasscoreipc
import awsiot.greengrasscoreipc.client as client
from awsiot.greengrasscoreipc.model import (
    QOS,
    ConfigurationUpdateEvents,
    GetConfigurationRequest,
    IoTCoreMessage,
    PublishToIoTCoreRequest,
    ReportedLifecycleState,
    SubscribeToConfigurationUpdateRequest,
    SubscribeToIoTCoreRequest,
    SubscribeToTopicRequest,
    SubscriptionResponseMessage,
    UpdateStateRequest,
)
from greenhouse_rules import decide

TIMEOUT = 10
THING = os.environ["AWS_IOT_THING_NAME"]
VERSION = os.environ["GREENHOUSE_VERSION"]

events = queue.SimpleQueue()


class Handler:
    """What all three streams have in common."""

    def on_stream_error(self, error):
        print("stream error:", repr(error), file=sys.stderr)
        return True

    def on_stream_closed(self):
        pass


class TemperatureHandler(Handler, client.SubscribeToTopicStreamHandler):
    def on_stream_event(self, event: SubscriptionResponseMessage):
        events.put(("temperature", event.json_message.message["celsius"]))


class CommandHandler(Handler, client.SubscribeToIoTCoreStreamHandler):
    def on_stream_event(self, event: IoTCoreMessage):
        events.put(("command", event.message.payload.decode()))


class ConfigurationHandler(Handler, client.SubscribeToConfigurationUpdateStreamHandler):
    def on_stream_event(self, event: ConfigurationUpdateEvents):
        events.put(("configuration", event.configuration_update_event.key_path))


def open_above(ipc) -> float:
    operation = ipc.new_get_configuration()
    operation.activate(GetConfigurationRequest(key_path=["OpenAbove"]))
    return float(operation.get_response().result(TIMEOUT).value["OpenAbove"])


def subscribe(ipc) -> list:
    to_temperature = ipc.new_subscribe_to_topic(TemperatureHandler())
    to_temperature.activate(SubscribeToTopicRequest(topic="greenhouse/temperature"))
    to_temperature.get_response().result(TIMEOUT)
    to_commands = ipc.new_subscribe_to_iot_core(CommandHandler())
    to_commands.activate(
        SubscribeToIoTCoreRequest(topic_name=f"greenhouse/{THING}/commands", qos=QOS.AT_LEAST_ONCE)
    )
    to_commands.get_response().result(TIMEOUT)
    to_configuration = ipc.new_subscribe_to_configuration_update(ConfigurationHandler())
    to_configuration.activate(SubscribeToConfigurationUpdateRequest(key_path=["OpenAbove"]))
    to_configuration.get_response().result(TIMEOUT)
    return [to_temperature, to_commands, to_configuration]


def tell(ipc, **what):
    request = PublishToIoTCoreRequest()
    request.topic_name = f"greenhouse/{THING}/vents"
    request.payload = json.dumps({"version": VERSION, **what}).encode()
    request.qos = QOS.AT_LEAST_ONCE
    operation = ipc.new_publish_to_iot_core()
    operation.activate(request)
    operation.get_response().result(TIMEOUT)


def main():
    starts = Path("starts")
    count = int(starts.read_text()) + 1 if starts.exists() else 1
    starts.write_text(str(count))
    signal.signal(signal.SIGTERM, lambda *_: events.put(("stop", None)))

    ipc = awsiot.greengrasscoreipc.connect()
    limit = open_above(ipc)
    subscriptions = subscribe(ipc)
    state = ipc.new_update_state()
    state.activate(UpdateStateRequest(state=ReportedLifecycleState.RUNNING))
    state.get_response().result(TIMEOUT)
    print(f"vents open above {limit}")
    tell(ipc, state="started", starts=count)

    while True:
        kind, value = events.get()
        if kind == "stop":
            break
        if kind == "configuration":
            limit = open_above(ipc)
            print(f"vents open above {limit} now")
        elif kind == "command":
            tell(ipc, vents=value, because="command")
        else:
            if value < 0:
                print(f"frost: {value} degrees", file=sys.stderr)
            tell(ipc, vents=decide(value, limit), because=value)

    tell(ipc, state="stopping")
    for subscription in subscriptions:
        subscription.close()
    print("bye")


if __name__ == "__main__":
    main()
