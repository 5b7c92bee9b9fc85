"""The networks of torchvision, written anew for tests: random weights, inputs and answers as files.

Run as a program (torch and TensorFlow do not share a process):

    cd tests/models && python -m torch_reference resnet18 FOLDER --size 97 --formats safetensors pth legacy

The names in the state dictionaries are those of torchvision, so that files made here look like its files.
"""
