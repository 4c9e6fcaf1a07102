"""torchvision's ResNet-18 with these weights as an ONNX file, for any number of pictures. WEIGHTS CLASSES FILE."""

import json
import sys

import torch
from torchvision import models
from weights import torchvision_state

if __name__ == "__main__":
    network = models.resnet18(num_classes=int(sys.argv[2])).eval()
    network.load_state_dict(torchvision_state(sys.argv[1]))
    shapes = ({0: torch.export.Dim("pictures", min=1, max=4096)},)
    program = torch.onnx.export(network, (torch.rand(2, 3, 224, 224),), dynamo=True, dynamic_shapes=shapes)
    program.save(sys.argv[3])
    print(json.dumps({"exported": 1}))
