// Package sdks runs the StateFun SDKs as they are published, each in a process of its own, through one script, on the
// embedded broker and on Apache Kafka, and holds what they write against one list of expectations.
//
// Each SDK has a small program in functions/ that interprets the same commands, sent to it as strings. A script is a
// list of commands with semicolons between them; the words of a command have one space between them:
//
//	set STATE VALUE · del STATE · get STATE        write, delete, show a state
//	count                                          add one to the state number and show it
//	send TYPE ID SCRIPT                            send a script; in it + is a space and a comma a semicolon
//	after MS TOKEN TYPE ID SCRIPT · cancel TOKEN   send it later, under a token or - for none; take it back
//	egress TEXT · typed N                          write a text, or a number by the SDK's own type
//	self · caller · ping N · ring NS:NS…           show addresses; reply N times; send on from SDK to SDK
//	sleep MS · peak                                take time; show how many calls ran at once
//	throw · fail TOKEN N · lost                    throw; throw N times; write to an egress that is not declared
//
// Our own SDK has headers, and commands for them:
//
//	headers NAME · origin                          show those of the message, and the last of a name; show where it came from
//	pass MS TYPE ID SCRIPT                         send a script with the headers of the message, at once or later
//	relay TYPE ID                                  pass the message on as it came, if it came from an ingress
//	copy TEXT                                      write a text with the headers and the timestamp of the message
//
// What a program shows goes to one Kafka topic an SDK, under the id of the address as key.
//
// Install puts the SDKs into the user's cache folder with the ordinary clients of their languages (pip, npm, mvn, cargo).
package sdks
