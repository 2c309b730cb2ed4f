package module

import (
	"fmt"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// message reads the keys descriptorSet and messageType, which say together what a record is.
func (r *reader) message(o *object) (protoreflect.MessageDescriptor, bool) {
	o.require("descriptorSet", "messageType")
	location, name := o.text("descriptorSet", ""), o.text("messageType", "")
	if location == "" || name == "" {
		return nil, false
	}
	path := filePath(location, filepath.Dir(o.at.File))
	files, err := r.descriptorSet(path)
	if err != nil {
		o.blame("descriptorSet", err.Error(), "write it with protoc --include_imports --descriptor_set_out")
		return nil, false
	}
	found, err := files.FindDescriptorByName(protoreflect.FullName(name))
	message, ok := found.(protoreflect.MessageDescriptor)
	if err != nil || !ok {
		o.blame("messageType", fmt.Sprintf("the descriptor set %s has no message %s", path, name), didYouMean(name, messageNames(files)))
		return nil, false
	}
	return message, true
}

// largestSet is far above any descriptor set; a larger file was named by mistake.
const largestSet = 64 << 20

// descriptorSet reads a file with a FileDescriptorSet, once.
func (r *reader) descriptorSet(path string) (*protoregistry.Files, error) {
	if files, ok := r.descriptors[path]; ok {
		return files, nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot be read: %w", err)
	case !info.Mode().IsRegular() || info.Size() > largestSet:
		return nil, fmt.Errorf("%s is no file of a descriptor set", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(b, set); err != nil {
		return nil, fmt.Errorf("%s holds no descriptor set: %w", path, err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, fmt.Errorf("%s holds no complete descriptor set: %w", path, err)
	}
	r.descriptors[path] = files
	return files, nil
}

// messageNames lists the messages that stand at the top of a file.
func messageNames(files *protoregistry.Files) []string {
	var names []string
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Messages().Len() {
			names = append(names, string(f.Messages().Get(i).FullName()))
		}
		return true
	})
	return names
}
