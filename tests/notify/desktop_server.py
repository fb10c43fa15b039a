"""A desktop's end of the session bus (the Desktop Notifications Specification): prints what it is to show."""

from __future__ import annotations

import json

from jeepney import HeaderFields, MessageType, new_method_return
from jeepney.bus_messages import DBus
from jeepney.io.blocking import open_dbus_connection

connection = open_dbus_connection("SESSION")
connection.send_and_get_reply(DBus().RequestName("org.freedesktop.Notifications"))
print("ready", flush=True)
while True:
    message = connection.receive()
    if message.header.message_type is not MessageType.method_call:
        continue
    member = message.header.fields.get(HeaderFields.member)
    if member == "Notify":
        application, title, text = message.body[0], *message.body[3:5]
        print(json.dumps([application, title, text]), flush=True)
        connection.send(new_method_return(message, "u", (1,)))
    elif member == "GetServerInformation":
        connection.send(new_method_return(message, "ssss", ("test", "test", "1", "1.2")))
    elif member == "GetCapabilities":
        connection.send(new_method_return(message, "as", (["body", "body-markup"],)))
